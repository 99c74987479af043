"""The runner's own decisions: which image, what counts as passed."""

from pathlib import Path

import pytest

from tests.kernels import __main__ as runner
from tests.kernels import images


@pytest.mark.parametrize(
    ("status", "closing", "passed"),
    [
        (0, "=== 3 passed, 9 deselected in 1.00s ===", True),
        (0, "=== 3 passed, 1 skipped in 1.00s ===", False),
        (1, "=== 1 failed, 2 passed in 1.00s ===", False),
        (5, "=== 9 deselected in 1.00s ===", False),
    ],
)
def test_judge(status: int, closing: str, passed: bool):
    """A kernel passes if pytest did and skipped nothing; an empty choice is no pass."""

    assert passed == runner._judge(status, ["booted", closing, ""])[0]


def test_cached_image_needs_no_network(tmp_path: Path):
    """The newest cached release of a series is taken, by number and not by spelling."""
    for release in ("6.1.0-9-amd64", "6.1.0-56-amd64", "6.12.117+deb12-amd64"):
        (tmp_path / f"linux-image-{release}").mkdir()

    assert "6.1.0-56-amd64" == images.get("6.1", tmp_path).release
    assert "6.12.117+deb12-amd64" == images.get("6.12", tmp_path).release


def test_flavours():
    """Only the plain flavour is chosen: the others lack 9p or are another kernel."""

    assert images.PACKAGES["6.1"].fullmatch("linux-image-6.1.0-56-amd64")
    assert not images.PACKAGES["6.1"].fullmatch("linux-image-6.1.0-56-cloud-amd64")
    assert not images.PACKAGES["6.12"].fullmatch("linux-image-6.12.117+deb12-rt-amd64")


def test_collects_only_marked_files():
    """The guest is given the files of the chosen tests, not the whole suite."""
    command = runner._pytest("guest")

    assert "tests/kernels/test_guest.py" in command
    assert "tests/test_resources.py" not in command
