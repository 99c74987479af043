"""Loading and pinning: all or nothing, and flows handed on where they fit."""

import os
from ctypes import c_uint32, c_uint64
from pathlib import Path

import pytest

from dlp.datapath import datapath as module
from dlp.datapath import libbpf, loader, pins
from dlp.datapath.datapath import Datapath, compiled
from dlp.datapath.libbpf import Map
from dlp.datapath.pins import BPFFS, COPIED, MAPS, PROGRAMS, STATE, Layout
from dlp.errors import KernelError
from tests.netlab import require_root
from tests.stub import stub

# Compiling is slow where the processor is emulated: some of these run under every kernel.


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Objects of stubs have no place in the host's cache."""
    require_root()
    cache = tmp_path_factory.getbasetemp() / "objects"
    monkeypatch.setattr(module, "compiled", lambda text: compiled(text, cache))


@pytest.fixture
def layouts(tmp_path):
    """Two places of a test's own in bpffs; removed at the end, whatever happened."""
    made = [
        Layout(BPFFS / f"dlp-test-{os.getpid()}-{name}", tmp_path / "run" / f"{name}.json")
        for name in ("old", "new")
    ]
    yield made
    for layout in made:
        layout.remove()
        pins.remove_tree(layout.pins.with_name(f"{layout.pins.name}-aside"))


@pytest.fixture
def layout(layouts) -> Layout:
    """One of them."""
    return layouts[0]


def value_of(layout: Layout, name: str) -> int:
    """The one element of a stub's map."""
    fd = libbpf.open_pin(layout.map(name))
    found = Map(name, fd, c_uint32, c_uint64).lookup(c_uint32(0)).value
    os.close(fd)
    return found


def write(layout: Layout, name: str, value: int) -> None:
    fd = libbpf.open_pin(layout.map(name))
    Map(name, fd, c_uint32, c_uint64).update(c_uint32(0), c_uint64(value))
    os.close(fd)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def opened(layout: Layout, text: str, **options) -> bool:
    """Whether opening adopted what was there."""
    with Datapath.open(layout, text=text, **options) as found:
        return found.adopted


@pytest.mark.kernel
def test_what_a_load_leaves(layout):
    """A pin for each program and map, and a manifest that names sources, headers and costs."""
    opened(layout, stub())
    manifest = layout.read()

    names = {path.name for path in layout.pins.iterdir()}
    assert {f"map_{name}" for name in MAPS} | {f"program_{name}" for name in PROGRAMS} == names
    assert set(PROGRAMS) == set(manifest.verified)
    assert min(manifest.verified.values()) > 1
    assert manifest.load_s > 0
    assert set(COPIED) == set(manifest.copied)
    assert "scratches" in manifest.copied["entry"].maps.values()
    assert "" == manifest.flows_from


@pytest.mark.kernel
def test_verifier_refuses(layout):
    """The error names the program and ends with the verifier's reason; nothing stays behind."""
    body = "return *(u8 *)((void *)(long)skb->data + 4);"
    with pytest.raises(KernelError) as raised:
        opened(layout, stub(judge=body))

    assert raised.value.message.startswith("the kernel refuses program judge: ")
    assert "invalid" in raised.value.message
    assert len(raised.value.message.splitlines()) < 15
    assert "doctor" in raised.value.remedy
    assert not layout.pins.exists()
    assert not layout.manifest.exists()


def test_one_refused_program_leaks_no_descriptor(layout):
    """What was loaded before the refusal is closed again."""
    body = "return *(u8 *)((void *)(long)skb->data + 4);"
    counts = []
    for _ in range(3):
        with pytest.raises(KernelError):
            opened(layout, stub(shape=body))
        counts.append(descriptors())

    assert counts[1] == counts[2]


def test_map_that_the_kernel_refuses(layout):
    """A map of an impossible size is named."""
    built = compiled(stub(), layout.manifest.parent)
    huge = built.maps["flows"].__class__(**{**_fields(built.maps["flows"]), "key_size": 8})
    spoilt = built.__class__(**{**_fields(built), "maps": {**built.maps, "flows": huge}})
    with pytest.raises(KernelError, match="creating map flows: Invalid argument"):
        loader.load(spoilt, layout)

    assert not layout.pins.exists()


def test_pin_that_is_taken(layout):
    """A pin that cannot be set ends the load with its reason, and the rest is taken back."""
    layout.pins.mkdir()
    fd = libbpf.load_program("two", bytes.fromhex("b700000002000000" + "9500000000000000"))
    libbpf.pin(fd, layout.map("flows"))
    os.close(fd)
    with pytest.raises(KernelError, match="map_flows: File exists"):
        loader.load(compiled(stub(), layout.manifest.parent), layout)

    assert not layout.pins.exists()


@pytest.mark.kernel
def test_flows_are_handed_on(layouts):
    """A changed program takes over what flows remember, and shares it with the old one."""
    old, new = layouts
    opened(old, stub())
    for number, name in enumerate(STATE):
        write(old, name, 100 + number)
    write(old, "anchors", 7)
    opened(new, stub(judge="return 1;"), older=[old])

    assert [100 + number for number in range(len(STATE))] == [value_of(new, n) for n in STATE]
    assert 0 == value_of(new, "anchors")
    assert old.pins.name == new.read().flows_from
    write(old, "flows", 1)
    assert 1 == value_of(new, "flows")


def test_flows_outlive_the_old_build(layouts):
    """Once handed on, they stay when the older build's pins go."""
    old, new = layouts
    opened(old, stub())
    write(old, "flows", 9)
    opened(new, stub(judge="return 1;"), older=[old])
    old.remove()

    assert 9 == value_of(new, "flows")


def test_flows_of_another_layout_are_not_taken(layouts):
    """Where a struct that flows are kept in has changed, the new build begins anew."""
    old, new = layouts
    opened(old, "struct dlp_flow {\n\tu64 id;\n};\n" + stub())
    write(old, "flows", 9)
    opened(new, "struct dlp_flow {\n\tu32 id;\n};\n" + stub(), older=[old])

    assert 0 == value_of(new, "flows")
    assert "" == new.read().flows_from


def test_first_of_several_older_builds(layouts, tmp_path):
    """The first that fits hands on; one that is broken is passed over."""
    old, new = layouts
    opened(old, stub())
    write(old, "flows", 9)
    broken = Layout(tmp_path / "nothing", tmp_path / "nothing.json")
    opened(new, stub(judge="return 1;"), older=[broken, old])

    assert 9 == value_of(new, "flows")


def _fields(of: object) -> dict[str, object]:
    return {name: getattr(of, name) for name in of.__slots__}


@pytest.mark.kernel
@pytest.mark.parametrize(("adopt", "known"), [(True, 7), (False, 0)])
def test_manifest_that_is_lost(layout, adopt: bool, known: int):
    """The same build is loaded anew with the state that its pins hold; or without, if asked."""
    Datapath.open(layout, text=stub()).close()
    write(layout, "guards", 7)
    layout.manifest.write_text("{")
    Datapath.open(layout, text=stub(), adopt=adopt).close()

    assert known == value_of(layout, "guards")
