"""Files that a command takes and makes."""

import pytest

from dlp.cli.files import read_file, write_file
from dlp.errors import UsageError


def test_never_over(tmp_path):
    """A file is not written over unless that is meant, and none is left half written."""
    path = tmp_path / "x"
    write_file(path, b"one")
    with pytest.raises(UsageError, match="exists"):
        write_file(path, b"two")
    assert b"one" == read_file(path)

    write_file(path, b"two", over=True)
    assert (b"two", [path]) == (read_file(path), list(tmp_path.iterdir()))


def test_errors(tmp_path):
    """What is not there, too large or in no directory is named."""
    (tmp_path / "large").write_bytes(bytes(11))
    for call in (
        lambda: read_file(tmp_path / "none"),
        lambda: read_file(tmp_path / "large", 10),
        lambda: write_file(tmp_path / "no" / "x", b""),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert str(tmp_path) in caught.value.message
