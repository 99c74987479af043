import asyncio
import contextlib
import subprocess
import threading
import time
import uuid
from pathlib import Path

import pytest

from dlp.workloads.watch import NetnsChange, NetnsEvent, NetnsWatcher

APPEARED, GONE = NetnsChange.APPEARED, NetnsChange.GONE
OWN = Path("/proc/self/ns/net").stat().st_ino


async def take(events, count, seconds=5):
    async with asyncio.timeout(seconds):
        return [await anext(events) for _ in range(count)]


def link(directory, name):
    """A name that leads to a namespace without needing root."""
    (directory / name).symlink_to("/proc/self/ns/net")


async def test_present_names_come_first(tmp_path):
    """What is there at the start appears, in the order of the names."""
    link(tmp_path, "web")
    link(tmp_path, "billing")

    async with contextlib.aclosing(NetnsWatcher(tmp_path).events()) as events:
        assert [
            NetnsEvent(APPEARED, "billing", OWN),
            NetnsEvent(APPEARED, "web", OWN),
        ] == await take(events, 2)


async def test_directory_may_come_later(tmp_path):
    """Before the first namespace of a host there is no directory; it is waited for."""
    directory = tmp_path / "netns"

    def make():
        time.sleep(0.05)
        directory.mkdir()
        link(directory, "web")

    maker = threading.Thread(target=make)
    async with contextlib.aclosing(NetnsWatcher(directory, resync_s=60).events()) as events:
        maker.start()
        assert [NetnsEvent(APPEARED, "web", OWN)] == await take(events, 1)
    maker.join()


async def test_file_is_told_once_it_is_a_namespace(tmp_path):
    """A plain file is waited for; it appears when a namespace stands in its place."""
    (tmp_path / "web").touch()

    def mount():
        time.sleep(0.05)
        # As a mount would, without a change of name that inotify could tell.
        link(tmp_path, "new")
        (tmp_path / "new").rename(tmp_path / "web")

    mounter = threading.Thread(target=mount)
    async with contextlib.aclosing(NetnsWatcher(tmp_path).events()) as events:
        mounter.start()
        seen = await take(events, 1)
        while seen[-1].name != "web":
            seen += await take(events, 1)
    mounter.join()

    assert NetnsEvent(APPEARED, "web", OWN) == seen[-1]


async def test_directory_that_goes_takes_its_names(tmp_path):
    """When the directory is removed, its names go; made anew, it is followed again."""
    directory = tmp_path / "netns"
    directory.mkdir()
    link(directory, "web")

    async with contextlib.aclosing(NetnsWatcher(directory, resync_s=0.2).events()) as events:
        await take(events, 1)
        (directory / "web").unlink()
        directory.rmdir()
        assert [NetnsEvent(GONE, "web", OWN)] == await take(events, 1)
        directory.mkdir()
        link(directory, "api")
        assert [NetnsEvent(APPEARED, "api", OWN)] == await take(events, 1)


@pytest.fixture
def ip():
    """Runs `ip netns` commands; removes at the end whatever was named dlptest-."""
    made = []

    def run(verb, name):
        made.append(name)
        subprocess.run(["ip", "netns", verb, name], check=True)

    yield run
    for name in made:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.mark.netns
async def test_real_namespace_appears_within_milliseconds(ip):
    """From the end of `ip netns add` to the event less than 50 ms pass; likewise its end."""
    name = f"dlptest-{uuid.uuid4().hex[:8]}"
    loop = asyncio.get_running_loop()
    ended = {}

    def run(verb):
        ip(verb, name)
        ended[verb] = time.monotonic()

    async with contextlib.aclosing(NetnsWatcher().events()) as events, asyncio.timeout(10):
        for verb, change in (("add", APPEARED), ("del", GONE)):
            command = loop.run_in_executor(None, run, verb)
            async for event in events:
                if event.name == name:
                    break
            told = time.monotonic()
            await command
            assert change == event.change
            assert event.inode not in {0, OWN}
            assert told - ended[verb] < 0.05


@pytest.mark.netns
async def test_name_used_anew_goes_and_appears(ip):
    """A namespace removed and made under the same name is two namespaces."""
    name = f"dlptest-{uuid.uuid4().hex[:8]}"
    ip("add", name)
    seen = []
    async with contextlib.aclosing(NetnsWatcher().events()) as events, asyncio.timeout(10):
        async for event in events:
            if event.name != name:
                continue
            seen.append(event)
            if len(seen) == 1:
                ip("del", name)
                ip("add", name)
            if len(seen) == 3:
                break

    assert [APPEARED, GONE, APPEARED] == [event.change for event in seen]
    assert seen[0].inode == seen[1].inode
