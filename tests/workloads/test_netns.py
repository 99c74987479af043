import os
import subprocess
import threading
import time
import uuid
from pathlib import Path

import pytest

from dlp.errors import KernelError, UsageError
from dlp.workloads.netns import NetnsNotReadyError, entered, names, open_netns, validate_name


def current():
    """Inode of the calling thread's network namespace."""
    return Path("/proc/thread-self/ns/net").stat().st_ino


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def namespace():
    """A network namespace of its own, gone at the end."""
    name = f"dlptest-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\0b", "a\nb", "x" * 256])
def test_impossible_names_are_refused(name):
    """A name that would leave the directory, or cannot be a file, is a usage error."""
    with pytest.raises(UsageError):
        validate_name(name)


@pytest.mark.parametrize("name", ["web", "cni-1f3a", "a b", ".hidden", "x" * 255])
def test_possible_names_pass(name):
    """What `ip netns add` takes is taken."""
    assert name == validate_name(name)


def test_missing_directory_has_no_names(tmp_path):
    """Before the first `ip netns add` there is no directory, and that is no error."""
    assert () == names(tmp_path / "netns")


def test_plain_file_is_not_ready(tmp_path):
    """The file that `ip netns add` creates before it mounts is told from a namespace."""
    (tmp_path / "web").touch()

    with pytest.raises(NetnsNotReadyError, match="web"):
        open_netns("web", tmp_path)


def test_fifo_does_not_block(tmp_path):
    """A FIFO of that name cannot stop the daemon."""
    os.mkfifo(tmp_path / "web")

    with pytest.raises(NetnsNotReadyError):
        open_netns("web", tmp_path)


def test_other_namespace_type_is_not_ready(tmp_path):
    """A namespace of another type under that name is not taken for a network."""
    (tmp_path / "web").symlink_to("/proc/self/ns/uts")

    with pytest.raises(NetnsNotReadyError):
        open_netns("web", tmp_path)


def test_missing_name_says_what_to_do(tmp_path):
    """An absent namespace is a kernel error with a remedy; no descriptor is left open."""
    before = open_descriptors()

    with pytest.raises(KernelError) as caught:
        open_netns("web", tmp_path)

    assert "ip netns add web" in caught.value.remedy
    assert before == open_descriptors()


def test_handle_names_the_inode(tmp_path):
    """The inode is that of nsfs, and the descriptor is closed at the end."""
    (tmp_path / "own").symlink_to("/proc/self/ns/net")

    with open_netns("own", tmp_path) as handle:
        assert current() == handle.inode
        assert not os.get_inheritable(handle.fd)

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle.fd)


@pytest.mark.netns
def test_entered_switches_this_thread_only(namespace):
    """Inside, the thread sees the namespace; others do not, and it comes back after an error."""
    home = current()
    inside, looked = threading.Barrier(2), threading.Barrier(2)
    elsewhere = []

    def look():
        inside.wait(5)
        elsewhere.append(current())
        looked.wait(5)

    def leave_by_error(handle):
        with entered(handle.fd):
            assert handle.inode == current()
            inside.wait(5)
            looked.wait(5)
            raise ZeroDivisionError

    # A thread starts in the namespace of its maker: this one is made before the switch.
    witness = threading.Thread(target=look)
    witness.start()
    with open_netns(namespace) as handle, pytest.raises(ZeroDivisionError):
        leave_by_error(handle)
    witness.join()

    assert [home] == elsewhere
    assert home == current()


@pytest.mark.netns
def test_entering_is_quick(namespace):
    """A switch there and back costs well below a millisecond."""
    with open_netns(namespace) as handle:
        started = time.perf_counter()
        for _ in range(100):
            with entered(handle.fd):
                pass

    assert time.perf_counter() - started < 0.5


def test_wrong_descriptor_is_refused(tmp_path):
    """A descriptor that is no namespace gives an error with a remedy, and the thread stays."""
    home = current()
    with (tmp_path / "file").open("w") as file, pytest.raises(KernelError) as caught:  # noqa: SIM117
        with entered(file.fileno()):
            pytest.fail("entered a plain file")

    assert caught.value.remedy
    assert home == current()
