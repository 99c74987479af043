"""The floor of TCP's retransmission timeout, in namespaces of our own."""

from __future__ import annotations

import pytest

from dlp.errors import KernelError
from dlp.workloads import rto
from dlp.workloads.netns import open_netns
from tests.netlab import inside

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns

DEFAULT_US = 200_000


@pytest.fixture
def netns(lab):
    """A namespace; it has the setting on kernels that know it."""
    name = lab.namespace("rto")
    with inside(name):
        if not rto.SYSCTL.exists():
            pytest.skip("this kernel has no tcp_rto_min_us (6.11)")
    return name


def floor(name: str) -> int:
    with inside(name):
        return int(rto.SYSCTL.read_text())


def set_floor(name: str, value_us: int) -> None:
    with inside(name):
        rto.SYSCTL.write_text(str(value_us))


def test_lower_and_restore(netns, lab):
    """Lowered in that namespace and in no other, and put back as it was."""
    other = lab.namespace("other")
    set_floor(netns, 150_000)
    with open_netns(netns) as handle:
        before = rto.lower(handle.fd)
        lowered = floor(netns), floor(other)
        restored = rto.restore(handle.fd, before)

    assert 150_000 == before == floor(netns)
    assert (rto.FLOOR_US, DEFAULT_US) == lowered
    assert restored


def test_this_namespace_is_left_alone(netns):
    """The gateway's own namespace keeps its floor."""
    mine = int(rto.SYSCTL.read_text())
    with open_netns(netns) as handle:
        rto.lower(handle.fd)

    assert mine == int(rto.SYSCTL.read_text()) != rto.FLOOR_US


@pytest.mark.parametrize("value_us", [10_000, rto.FLOOR_US])
def test_never_raised(netns, value_us):
    """What is as low or lower stays, and there is nothing to put back."""
    set_floor(netns, value_us)
    with open_netns(netns) as handle:
        before = rto.lower(handle.fd)

    assert (None, value_us) == (before, floor(netns))


def test_a_change_of_others_stays(netns):
    """What somebody set after us is theirs."""
    with open_netns(netns) as handle:
        before = rto.lower(handle.fd)
        set_floor(netns, 90_000)
        restored = rto.restore(handle.fd, before)

    assert (False, 90_000) == (restored, floor(netns))


def test_a_kernel_without_it(netns, monkeypatch, tmp_path):
    """Nothing to lower, nothing to put back."""
    monkeypatch.setattr(rto, "SYSCTL", tmp_path / "missing")
    with open_netns(netns) as handle:
        lowered = rto.lower(handle.fd)
        restored = rto.restore(handle.fd, DEFAULT_US)

    assert (None, False) == (lowered, restored)


def test_a_setting_that_cannot_be_written(netns, monkeypatch, tmp_path):
    """The error names the file and says what it costs."""
    monkeypatch.setattr(rto, "SYSCTL", tmp_path)
    with open_netns(netns) as handle, pytest.raises(KernelError, match=str(tmp_path)) as caught:
        rto.lower(handle.fd)

    assert "wait longer" in caught.value.remedy
