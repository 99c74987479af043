"""Which namespace it is that another knows by a number."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from dlp.datapath.rtnetlink import NO_NSID, Netlink
from dlp.workloads.finder import Finder
from tests.netlab import DEVICE, inside, sh, until

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns


@pytest.fixture
def pair(lab):
    """A workload and a sink."""
    return lab.pair()


class Asking:
    """A namespace that asks."""

    def __init__(self, name: str) -> None:
        self.inode = inode_of(f"/run/netns/{name}")
        with inside(name):
            self.netlink = Netlink()
        self.asked = 0

    def nsid_of(self, fd: int) -> int:
        self.asked += 1
        return self.netlink.nsid_of(fd)

    def nsid(self, device: str = DEVICE) -> int:
        return next(one.nsid for one in self.netlink.links() if one.name == device)

    def find(self, finder: Finder, nsid: int | None = None):
        return finder.find(self.inode, self.nsid() if nsid is None else nsid, self.nsid_of)


@pytest.fixture
def asking(pair):
    """The workload."""
    made = Asking(pair.inner)
    yield made
    made.netlink.close()


def inode_of(path: str) -> int:
    return Path(path).stat().st_ino


def test_named(pair, asking):
    """By its name under /run/netns; the descriptor is the caller's."""
    found = asking.find(Finder())

    assert found is not None
    assert (inode_of(f"/run/netns/{pair.outer}"), f"/run/netns/{pair.outer}") == (
        found.inode,
        str(found.path),
    )
    assert found.inode == os.fstat(found.fd).st_ino
    os.close(found.fd)


def test_of_a_process(pair, asking):
    """By a process that is in it, where it has no name."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    try:
        own = inode_of("/proc/self/ns/net")
        until(lambda: inode_of(f"/proc/{holder.pid}/ns/net") != own)
        expected = inode_of(f"/proc/{holder.pid}/ns/net")
        sh(f"ip -n {pair.inner} link add a0 type veth peer name b0 netns {holder.pid}")
        found = asking.find(Finder(), asking.nsid("a0"))
        assert found is not None
        os.close(found.fd)
    finally:
        holder.kill()
        holder.wait()

    assert expected == found.inode


def test_of_nobody(tmp_path, asking):
    """Where neither a name nor a process leads to it, it is not found; nothing stays open."""
    finder = Finder(directory=tmp_path, proc=tmp_path)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    found = asking.find(finder)

    assert found is None
    assert before == len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_not_found_is_not_looked_for_again_at_once(tmp_path, asking):
    """Nor is anybody asked; after a moment it is."""
    finder = Finder(directory=tmp_path, proc=tmp_path, fresh_s=1.0)
    counts = []
    for pause in (0.0, 0.0, 1.1):
        time.sleep(pause)
        asking.find(finder)
        counts.append(asking.asked)

    assert counts[0] == counts[1] < counts[2]


def test_made_a_moment_ago(lab, pair, asking):
    """A namespace that is younger than what was listed is found all the same."""
    finder = Finder(fresh_s=60.0)
    first = asking.find(finder)
    time.sleep(0.06)
    young = lab.namespace("young")
    sh(f"ip -n {pair.inner} link add a0 type veth peer name b0 netns {young}")
    second = asking.find(finder, asking.nsid("a0"))
    for found in (first, second):
        os.close(found.fd)

    assert inode_of(f"/run/netns/{young}") == second.inode


def test_by_inode(pair):
    """A namespace that was written down is opened again."""
    finder = Finder()
    inode = inode_of(f"/run/netns/{pair.outer}")
    found = finder.open(inode)

    assert found is not None
    assert inode == found.inode
    assert finder.is_there(found.path, inode)
    assert not finder.is_there(found.path, inode + 1)
    assert not finder.is_there(Path("/run/netns/none"), inode)
    assert finder.open(5) is None
    os.close(found.fd)


def test_name_used_anew(lab, pair):
    """A path that leads to another namespace by now is not believed."""
    finder = Finder(fresh_s=60.0)
    name = lab.namespace("again")
    inode = inode_of(f"/run/netns/{name}")
    os.close(finder.open(inode).fd)
    keeper = os.open(f"/run/netns/{name}", os.O_RDONLY)  # its inode is not given again
    lab.remove(name)
    lab.add(name)
    found = finder.open(inode)
    os.close(keeper)

    assert found is None


def test_files_that_are_no_namespaces(tmp_path, asking):
    """What lies under /run/netns and is none is passed over."""
    (tmp_path / "stale").touch()
    os.mkfifo(tmp_path / "fifo")
    finder = Finder(directory=tmp_path, proc=tmp_path / "none")

    assert asking.find(finder) is None
    assert NO_NSID != asking.nsid()
