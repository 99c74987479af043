import asyncio
import contextlib
import uuid

import pytest

from dlp.errors import MissingDependency
from dlp.workloads.cgroup import (
    ROOT_ID,
    Cgroup,
    CgroupWatcher,
    ancestor,
    find_cgroup2,
    in_cgroup_namespace,
    level_of,
    matching,
    scan,
)

V1 = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"


def mounts(tmp_path, text):
    path = tmp_path / "mounts"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n", "/sys/fs/cgroup"),
        ("none /sys/fs/cgroup/unified cgroup2 rw 0 0\n", "/sys/fs/cgroup/unified"),
        ("none /odd\\040place cgroup2 rw 0 0\n", "/odd place"),
    ],
)
def test_mount_is_found(tmp_path, line, expected):
    """The v2 hierarchy is found alone or beside v1, also with escapes in its path."""
    assert expected == str(find_cgroup2(mounts(tmp_path, V1 + line)))


def test_missing_mount_says_what_to_do(tmp_path):
    """With v1 alone the error names the command that helps."""
    with pytest.raises(MissingDependency) as caught:
        find_cgroup2(mounts(tmp_path, V1))

    assert "mount -t cgroup2" in caught.value.remedy


@pytest.mark.parametrize(("path", "level"), [("/", 0), ("/a", 1), ("/a/b/c", 3), ("/a/b/", 2)])
def test_level_is_depth(path, level):
    """The root's level is 0, as bpf_skb_ancestor_cgroup_id counts."""
    assert level == level_of(path)


def test_ancestor_at_level():
    """The ancestor of a path at its own level is the path; deeper there is none."""
    assert ["/", "/a", "/a/b", None] == [ancestor("/a/b", level) for level in range(4)]


def test_scan_is_bounded_and_breadth_first(tmp_path):
    """Parents come before children; past the bound the scan says that it is not whole."""
    for path in ("a/deep/er", "b"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "cgroup.procs").touch()

    whole, cut = scan(tmp_path), scan(tmp_path, limit=3)

    assert ["/", "/a", "/b", "/a/deep", "/a/deep/er"] == [c.path for c in whole.cgroups]
    assert not whole.truncated
    assert ["/", "/a", "/b"] == [c.path for c in cut.cgroups]
    assert cut.truncated
    assert (tmp_path / "a/deep").stat().st_ino == whole.cgroups[3].id


def test_globs_choose_by_path():
    """A star spans slashes; a path matched by two globs is told once."""
    cgroups = [Cgroup("/", 1), Cgroup("/docker/1f", 2), Cgroup("/docker/1f/sub", 3)]

    assert (2, 3) == tuple(c.id for c in matching(cgroups, ["/docker/*", "*/sub"]))
    assert (2,) == tuple(c.id for c in matching(cgroups, ["/docker/??"]))


async def take(events, count, seconds=5):
    async with asyncio.timeout(seconds):
        return [await anext(events) for _ in range(count)]


async def test_watcher_tells_nested_changes(tmp_path):
    """New and removed directories are told, also when nested ones are made at once."""
    async with contextlib.aclosing(CgroupWatcher(tmp_path, rescan_s=60).events()) as events:
        assert ["/"] == [event.cgroup.path for event in await take(events, 1)]

        (tmp_path / "docker/1f/sub").mkdir(parents=True)
        appeared = await take(events, 3)
        (tmp_path / "docker/1f/sub").rmdir()
        gone = await take(events, 1)

    assert ["/docker", "/docker/1f", "/docker/1f/sub"] == [e.cgroup.path for e in appeared]
    assert [("/docker/1f/sub", False)] == [(e.cgroup.path, e.appeared) for e in gone]
    assert appeared[2].cgroup.id == gone[0].cgroup.id


async def test_watcher_sees_without_inotify(tmp_path, monkeypatch):
    """Where no watch can be had, the regular reading finds the change."""
    monkeypatch.setattr("dlp.workloads.inotify.Inotify.add", lambda *_: False)

    async with contextlib.aclosing(CgroupWatcher(tmp_path, rescan_s=0.02).events()) as events:
        await take(events, 1)
        (tmp_path / "late").mkdir()
        assert ["/late"] == [event.cgroup.path for event in await take(events, 1)]


@pytest.mark.netns
async def test_real_cgroup_is_seen():
    """On the mounted hierarchy the root has id 1, and inotify tells of a new cgroup at once."""
    root = find_cgroup2()
    assert not in_cgroup_namespace(root)
    assert ROOT_ID == scan(root).cgroups[0].id
    path = root / f"dlptest-{uuid.uuid4().hex[:8]}"
    watcher = CgroupWatcher(root, rescan_s=60)
    try:
        async with contextlib.aclosing(watcher.events()) as events, asyncio.timeout(5):
            async for event in events:
                if event.cgroup.path == "/":
                    path.mkdir()
                if event.cgroup.path == f"/{path.name}":
                    break
        assert path.stat().st_ino == event.cgroup.id
        assert 1 == event.cgroup.level
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()
