"""Settings of TCP that a hold needs, in namespaces of our own."""

from __future__ import annotations

import pytest

from dlp.errors import KernelError
from dlp.workloads import rto
from dlp.workloads.netns import open_netns
from tests.netlab import inside

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns

DEFAULTS = {rto.FLOOR.name: 200_000, rto.FRTO.name: 2}
# Other values than the kernel's own, so that what is put back is what was there.
OTHERS = {rto.FLOOR.name: 150_000, rto.FRTO.name: 1}
LOWERED = {one.name: one.wanted for one in rto.SETTINGS}
EACH = pytest.mark.parametrize("setting", rto.SETTINGS, ids=lambda one: one.name)


@pytest.fixture
def netns(lab):
    """A namespace; it has both settings on kernels that know them."""
    name = lab.namespace("rto")
    with inside(name):
        if not rto.FLOOR.path.exists():
            pytest.skip("this kernel has no tcp_rto_min_us (6.11)")
    return name


def value(name: str, setting: rto.Setting) -> int:
    with inside(name):
        return int(setting.path.read_text())


def values(name: str) -> dict[str, int]:
    return {one.name: value(name, one) for one in rto.SETTINGS}


def put(name: str, setting: rto.Setting, number: int) -> None:
    with inside(name):
        setting.path.write_text(str(number))


@EACH
def test_lower_and_restore(netns, lab, setting):
    """Lowered in that namespace and in no other, and put back as it was."""
    other = lab.namespace("other")
    put(netns, setting, OTHERS[setting.name])
    with open_netns(netns) as handle:
        before = setting.lower(handle.fd)
        lowered = value(netns, setting), value(other, setting)
        restored = setting.restore(handle.fd, before)

    assert OTHERS[setting.name] == before == value(netns, setting)
    assert (setting.wanted, DEFAULTS[setting.name]) == lowered
    assert restored


def test_the_gateways_values():
    """45 ms, and new data never before what is missing."""

    assert {"tcp_rto_min_us": 45_000, "tcp_frto": 0} == LOWERED


@EACH
def test_this_namespace_is_left_alone(netns, setting):
    """The gateway's own namespace keeps what it has."""
    mine = int(setting.path.read_text())
    with open_netns(netns) as handle:
        setting.lower(handle.fd)

    assert mine == int(setting.path.read_text()) != setting.wanted


@pytest.mark.parametrize(
    ("setting", "number"), [(rto.FLOOR, 10_000), (rto.FLOOR, rto.FLOOR.wanted), (rto.FRTO, 0)]
)
def test_never_raised(netns, setting, number):
    """What is as low or lower stays, and there is nothing to put back."""
    put(netns, setting, number)
    with open_netns(netns) as handle:
        before = setting.lower(handle.fd)

    assert (None, number) == (before, value(netns, setting))


@pytest.mark.parametrize(("setting", "number"), [(rto.FLOOR, 90_000), (rto.FRTO, 1)])
def test_a_change_of_others_stays(netns, setting, number):
    """What somebody set after us is theirs."""
    with open_netns(netns) as handle:
        before = setting.lower(handle.fd)
        put(netns, setting, number)
        restored = setting.restore(handle.fd, before)

    assert (False, number) == (restored, value(netns, setting))


@EACH
def test_a_kernel_without_it(netns, monkeypatch, tmp_path, setting):
    """Nothing to lower, nothing to put back."""
    monkeypatch.setattr(rto, "DIRECTORY", tmp_path / "missing")
    with open_netns(netns) as handle:
        lowered = setting.lower(handle.fd)
        restored = setting.restore(handle.fd, DEFAULTS[setting.name])

    assert (None, False) == (lowered, restored)


@EACH
def test_a_setting_that_cannot_be_written(netns, monkeypatch, tmp_path, setting):
    """The error names the file and says what it costs."""
    (tmp_path / setting.name).mkdir()
    monkeypatch.setattr(rto, "DIRECTORY", tmp_path)
    with open_netns(netns) as handle, pytest.raises(KernelError, match=str(tmp_path)) as caught:
        setting.lower(handle.fd)

    assert "wait longer" in caught.value.remedy


def test_all(netns):
    """All are lowered and told of, and all put back."""
    for setting in rto.SETTINGS:
        put(netns, setting, OTHERS[setting.name])
    with open_netns(netns) as handle:
        before = rto.lower(handle.fd)
        lowered = values(netns)
        rto.restore(handle.fd, before)

    assert OTHERS == before == values(netns)
    assert LOWERED == lowered


def test_what_was_lowered_is_not_lowered_again(netns):
    """It keeps its value from before, and what others set since is theirs."""
    put(netns, rto.FLOOR, 90_000)
    with open_netns(netns) as handle:
        before = rto.lower(handle.fd, {rto.FLOOR.name: 200_000})

    assert {rto.FLOOR.name: 200_000, rto.FRTO.name: 2} == before
    assert {rto.FLOOR.name: 90_000, rto.FRTO.name: 0} == values(netns)


def test_one_that_the_kernel_refuses(netns, monkeypatch, tmp_path):
    """The other one is lowered, and put back, all the same."""
    (tmp_path / rto.FLOOR.name).mkdir()
    (tmp_path / rto.FRTO.name).write_text("2")
    monkeypatch.setattr(rto, "DIRECTORY", tmp_path)
    file = rto.FRTO.path
    with open_netns(netns) as handle:
        before = rto.lower(handle.fd)
        lowered = file.read_text()
        with pytest.raises(KernelError, match=rto.FLOOR.name):
            rto.restore(handle.fd, {**before, rto.FLOOR.name: 200_000})

    assert {rto.FRTO.name: 2} == before
    assert ("0", "2") == (lowered, file.read_text())


def test_names_that_are_not_known(netns):
    """A record of another version puts nothing back that this one does not lower."""
    with open_netns(netns) as handle:
        rto.restore(handle.fd, {"tcp_sack": 0, "../../kernel/panic": 1})

    assert DEFAULTS == values(netns)
