import pytest

from dlp.workloads.inotify import Change, Inotify


@pytest.fixture
def inotify():
    with Inotify() as watch:
        yield watch


async def test_creation_and_removal_are_told(inotify, tmp_path):
    """A name made and removed in a watched directory gives two changes in order."""
    assert inotify.add(tmp_path)
    (tmp_path / "web").touch()
    (tmp_path / "web").unlink()

    assert (
        Change(tmp_path, "web", appeared=True),
        Change(tmp_path, "web", appeared=False),
    ) == await inotify.wait(1)


async def test_rename_is_removal_and_creation(inotify, tmp_path):
    """A renamed file goes under the old name and appears under the new."""
    (tmp_path / "old").touch()
    inotify.add(tmp_path)
    (tmp_path / "old").rename(tmp_path / "new")

    changes = await inotify.wait(1)

    assert [("old", False), ("new", True)] == [(c.name, c.appeared) for c in changes]


async def test_missing_directory_is_no_error(inotify, tmp_path):
    """A directory that does not exist cannot be watched, and that is said, not raised."""
    assert not inotify.add(tmp_path / "none")


async def test_directory_made_anew_keeps_its_new_watch(inotify, tmp_path):
    """The end of an old watch, read late, does not end the watch of the new directory."""
    directory = tmp_path / "netns"
    directory.mkdir()
    inotify.add(directory)
    directory.rmdir()
    directory.mkdir()
    inotify.add(directory)
    assert Change(directory, "", appeared=False) in await inotify.wait(1)

    (directory / "web").touch()

    assert (Change(directory, "web", appeared=True),) == await inotify.wait(1)


async def test_quiet_directory_times_out(inotify, tmp_path):
    """Where nothing happens, the wait ends in time with nothing."""
    inotify.add(tmp_path)

    assert () == await inotify.wait(0.01)
