"""Pins on disk and the manifest beside them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dlp.datapath import pins
from dlp.datapath.objects import ProgramSpec
from dlp.datapath.pins import MAPS, PROGRAMS, Layout, Manifest
from dlp.errors import KernelError, PrivilegeError

MANIFEST = Manifest(
    digest="0123456789abcdef",
    state="fedcba9876543210",
    headers="assembled",
    compile_s=2.5,
    load_s=1.5,
    verified={"entry": 50},
    flows_from="",
    copied={"entry": ProgramSpec("18" * 8, {3: "scratches", 13: "programs"})},
)


@pytest.fixture
def layout(tmp_path) -> Layout:
    """Plain files in place of pins: a layout only asks whether they exist."""
    made = Layout(tmp_path / "pins", tmp_path / "run" / "datapath.json")
    made.pins.mkdir()
    for name in MAPS:
        made.map(name).touch()
    for name in PROGRAMS:
        made.program(name).touch()
    return made


def test_manifest_survives_the_disk(layout):
    """What is read is what was written, numbers as numbers."""
    layout.write(MANIFEST)

    assert MANIFEST == layout.read()


def test_run_directory(layout):
    """Nobody but the owner writes in the manifest's directory."""
    layout.write(MANIFEST)

    assert 0o755 == layout.manifest.parent.stat().st_mode & 0o777


def test_manifest_is_replaced_whole(layout):
    """A second write leaves one file, with the second's words."""
    layout.write(MANIFEST)
    layout.write(Manifest(**{**_fields(), "headers": "host"}))

    assert [layout.manifest] == list(layout.manifest.parent.iterdir())
    assert "host" == layout.read().headers


def test_no_manifest(layout):
    """Pins without a manifest cannot be adopted."""

    assert layout.read() is None


@pytest.mark.parametrize("size", [0, 1, 40, -1])
def test_truncated_manifest(layout, size: int):
    """A manifest that was cut short is none."""
    layout.write(MANIFEST)
    layout.manifest.write_bytes(layout.manifest.read_bytes()[:size])

    assert layout.read() is None


@pytest.mark.parametrize(
    "raw",
    [
        {},
        [],
        None,
        {"copied": {"entry": {"code": "18", "maps": {"x": "maps"}}}},
        {"copied": {"entry": {"code": "18"}}},
        {"copied": {"entry": 7}},
        {"copied": []},
        {"copied": 7},
        {"copied": {}, "digest": "only"},
        {"copied": {}, "unknown": 1},
    ],
)
def test_foreign_manifest(layout, raw):
    """JSON of another shape is no manifest, and no error."""
    layout.write(MANIFEST)
    layout.manifest.write_text(json.dumps(raw))

    assert layout.read() is None


@pytest.mark.parametrize("name", ["map_flows", "map_programs", "program_entry", "program_judge"])
def test_missing_pin(layout, name: str):
    """A set that lacks one pin is not adopted."""
    layout.write(MANIFEST)
    (layout.pins / name).unlink()

    assert layout.read() is None


def test_remove(layout):
    """Nothing is left, and removing nothing is no error."""
    layout.write(MANIFEST)
    layout.remove()
    layout.remove()

    assert not layout.pins.exists()
    assert not layout.manifest.exists()


def test_set_aside(layout):
    """What is attached lives on under another name, where its state is found if it is whole."""
    layout.write(MANIFEST)
    aside = layout.set_aside()

    assert not layout.pins.exists()
    assert not layout.manifest.exists()
    assert aside.map("guards").exists()
    assert aside == layout.set_aside()
    aside.map("guards").unlink()
    assert layout.set_aside() is None


def test_remove_tree(layout):
    """A directory with builds in it goes as a whole; one that is not there is no error."""
    parent = layout.pins.parent
    pins.remove_tree(layout.pins)
    pins.remove_tree(layout.pins)

    assert not layout.pins.exists()
    assert parent.exists()


def test_plain_directory_is_no_bpffs(tmp_path):
    """Pins made there would fail one by one with a riddle."""

    assert not pins.is_bpffs(tmp_path)
    assert not pins.is_bpffs(tmp_path / "missing")


@pytest.mark.kernel
def test_mounted_bpffs_is_left_alone():
    """Asking twice mounts it once."""
    pins.ensure_bpffs()
    pins.ensure_bpffs()

    assert pins.is_bpffs(pins.BPFFS)
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    assert 1 == sum(target == str(pins.BPFFS) and kind == "bpf" for _, target, kind, *_ in mounts)


@pytest.mark.kernel
def test_bpffs_is_mounted_where_it_is_not(tmp_path):
    """A host that never mounted it needs no hand: tried in a mount namespace of its own."""
    script = (
        "from pathlib import Path; from dlp.datapath import pins; import sys;"
        "where = Path(sys.argv[1]); pins.ensure_bpffs(where); print(pins.is_bpffs(where))"
    )
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", script, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )

    assert "True\n" == done.stdout
    assert not pins.is_bpffs(tmp_path)


@pytest.mark.kernel
def test_bpffs_that_cannot_be_mounted(tmp_path):
    """The error names the place and the command that mends it."""
    with pytest.raises(KernelError) as raised:
        pins.ensure_bpffs(tmp_path / "missing")

    assert f"{tmp_path}/missing is not a BPF file system" in raised.value.message
    assert f"mount -t bpf bpf {tmp_path}/missing" == raised.value.remedy


@pytest.mark.kernel
def test_bpffs_without_root(tmp_path, monkeypatch):
    """Without privileges the remedy is root, not a mount."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(PrivilegeError):
        pins.ensure_bpffs(tmp_path / "missing")


def _fields() -> dict[str, object]:
    return {name: getattr(MANIFEST, name) for name in Manifest.__slots__}
