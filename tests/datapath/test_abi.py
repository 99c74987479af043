"""The Python mirror against what the compiler makes of bpf/abi.h."""

import ctypes as ct
import enum
import re
import shutil
import subprocess

import pytest

from dlp import model, policy
from dlp.datapath import abi
from dlp.resources import bpf_dir
from dlp.signatures import image, weighted

pytestmark = pytest.mark.kernel

HEADER = (bpf_dir() / "abi.h").read_text()
MAPS = (bpf_dir() / "maps.h").read_text()
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
BLOCK = re.compile(r"^(struct|enum) (\w+) \{(.*?)^\};", re.DOTALL | re.MULTILINE)
MEMBER = re.compile(r"^\s*(?:struct )?\w+ (\w+)(?:\[[^\]]*\])?;", re.MULTILINE)
NUMBER = re.compile(r"^\s*(\w+) =", re.MULTILINE)
DEFINE = re.compile(r"^#define DLP_(\w+) \S", re.MULTILINE)

# Header's enum: prefix of its names, and every Python enum that mirrors it.
ENUMS = {
    "dlp_action": ("DLP_", (model.Action,)),
    "dlp_reason": ("DLP_R_", (abi.Reason,)),
    "dlp_event_kind": ("DLP_EV_", (abi.EventKind,)),
    "dlp_check": ("DLP_CHECK_", (image.Check,)),
    "dlp_opaque": ("DLP_OPAQUE_", (model.Opaque,)),
    "dlp_dest_action": ("DLP_DEST_", (model.DestinationAction,)),
    "dlp_policy_flag": ("DLP_P_", (abi.PolicyFlag, policy.PolicyFlag)),
    "dlp_flow_state": ("DLP_FLOW_", (abi.FlowState,)),
    "dlp_flow_flag": ("DLP_F_", (abi.FlowFlag,)),
    "dlp_event_flag": ("DLP_EF_", (abi.EventFlag,)),
    "dlp_rule_flag": ("DLP_RULE_", (abi.RuleFlag,)),
    "dlp_device": ("DLP_D_", (abi.DeviceFlag,)),
    "dlp_guard_flag": ("DLP_G_", (abi.GuardFlag,)),
    "dlp_slot": ("SLOT_", (abi.Slot,)),
}
SIZES = {"DLP_REASONS", "DLP_CHECKS"}  # of arrays, kept at the end of the enum


def blocks(kind: str, text: str) -> dict[str, str]:
    found = BLOCK.findall(COMMENT.sub("", text))
    return {name: body for which, name, body in found if which == kind}


STRUCTS = {name: MEMBER.findall(body) for name, body in blocks("struct", HEADER).items()}
NUMBERS = {
    name: NUMBER.findall(body)
    for name, body in (blocks("enum", HEADER) | blocks("enum", MAPS)).items()
}
DEFINES = DEFINE.findall(HEADER)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> dict[str, int]:
    """Sizes, offsets and numbers by name, as a C program prints them."""
    lines = [f"P({name})" for names in NUMBERS.values() for name in names]
    lines += [f"P(DLP_{name})" for name in DEFINES]
    for name, members in STRUCTS.items():
        lines.append(f"P(sizeof(struct {name}))")
        for member in members:
            lines.append(f"P(offsetof(struct {name}, {member}))")
            lines.append(f"P(sizeof((({{struct {name} v; v;}})).{member}))")
    slots = re.search(r"enum dlp_slot \{.*?\};", MAPS, re.DOTALL)
    assert slots
    program = "\n".join(
        [
            "#include <linux/types.h>",
            "#include <stddef.h>",
            "#include <stdio.h>",
            '#include "abi.h"',
            slots[0],
            '#define P(what) printf("%s\\t%llu\\n", #what, (unsigned long long)(what));',
            "int main(void) {",
            *lines,
            "return 0; }",
        ]
    )
    directory = tmp_path_factory.mktemp("abi")
    source, binary = directory / "layout.c", directory / "layout"
    source.write_text(program)
    compiler = shutil.which("gcc") or "cc"
    command = [compiler, "-w", "-I", str(bpf_dir()), str(source), "-o", str(binary)]
    subprocess.run(command, check=True)
    told = subprocess.run([str(binary)], check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.split("\t") for line in told.splitlines())}


def test_every_struct_is_mirrored():
    """Python knows the header's structs, all of them and no others."""

    assert set(STRUCTS) == set(abi.STRUCTS)


@pytest.mark.parametrize("name", STRUCTS)
def test_struct_layout(compiled, name: str):
    """Each member has the compiler's offset and size, and nothing is left between or behind."""
    mirror = abi.STRUCTS[name]
    expected = [
        (
            member,
            compiled[f"offsetof(struct {name}, {member})"],
            compiled[f"sizeof((({{struct {name} v; v;}})).{member})"],
        )
        for member in STRUCTS[name]
    ]
    actual = [
        (member, getattr(mirror, member).offset, getattr(mirror, member).size)
        for member, *_ in mirror._fields_
    ]

    assert expected == actual
    assert compiled[f"sizeof(struct {name})"] == ct.sizeof(mirror)
    assert ct.sizeof(mirror) == sum(size for _, _, size in actual), "padding is explicit"


def test_every_enum_is_mirrored():
    """Each enum of the header and the slots have a Python enum that this test compares."""

    assert set(NUMBERS) == set(ENUMS)


@pytest.mark.parametrize("name", ENUMS)
def test_enum_numbers(compiled, name: str):
    """Names and numbers agree: they are stored, pinned and used as labels."""
    prefix, mirrors = ENUMS[name]
    expected = {
        each.removeprefix(prefix): compiled[each] for each in NUMBERS[name] if each not in SIZES
    }

    for mirror in mirrors:
        assert issubclass(mirror, enum.IntEnum | enum.IntFlag)
        assert expected == {each.name: each.value for each in mirror}


@pytest.mark.parametrize("name", [*DEFINES, "REASONS"])
def test_limits(compiled, name: str):
    """Each limit of the header is the mirror's."""

    assert compiled[f"DLP_{name}"] == getattr(abi, name)


def test_image_limits():
    """The compiler of signatures, which knows no kernel types, has the same limits."""

    assert (abi.TAIL, abi.SPAN, abi.LITERAL, abi.STEPS, abi.CLASSES) == (
        image.TAIL,
        image.SPAN,
        image.LITERAL,
        image.STEPS,
        image.CLASSES,
    )
    assert (abi.ANCHORS, abi.LANE, abi.SIGNATURES, abi.SHAPES) == (
        image.ANCHORS_PER_GRAM,
        image.LANE_SHAPES,
        image.SIGNATURES,
        image.SHAPES,
    )
    assert (abi.SUMS, abi.SUM_LONGEST, abi.SUM_LARGEST, abi.SUM_ANY, abi.SUM_NEVER) == (
        image.SUMS,
        weighted.LONGEST,
        weighted.LARGEST,
        weighted.ANY,
        weighted.NEVER,
    )
    assert image.BLOOM_WORDS <= abi.BLOOM_WORDS
    assert abi.GRAM_ENTRIES == image.ANCHORS
    assert abi.GRAM_ENTRIES + 1 == abi.GRAM_ROWS * abi.GRAM_ROW


def test_reasons_fit_their_rows():
    """Counter rows have room for every reason, and for those to come."""

    assert max(abi.Reason) < abi.REASONS


def test_labels_are_unique():
    """A metric's label names one reason."""

    assert len(abi.Reason) == len({reason.label for reason in abi.Reason})


def test_scanners_by_stride():
    """Each stride that the compiler may choose has a scanner's slot."""

    assert set(image.STRIDES) == set(abi.SCAN_SLOT)
    assert [f"SCAN{stride}" for stride in abi.SCAN_SLOT] == [
        slot.name for slot in abi.SCAN_SLOT.values()
    ]
