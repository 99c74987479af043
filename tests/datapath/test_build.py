"""The compiler's process: an object on success, its words on failure. Stubs compile in no time."""

import json
import subprocess
import sys

import pytest

from dlp.datapath import headers, objects, source
from dlp.datapath.build import _program
from dlp.datapath.datapath import compiled
from dlp.datapath.pins import MAPS, PROGRAMS
from dlp.errors import KernelError, MissingDependency, MissingHeaders
from tests.netlab import require_root
from tests.stub import stub

# Compiling is slow where the processor is emulated: one of these runs under every kernel.

RINGBUF, ARRAY, PROG_ARRAY = 27, 2, 3  # enum bpf_map_type


@pytest.fixture(autouse=True, scope="module")
def _root():
    """Bcc makes the maps while it compiles."""
    require_root()


@pytest.mark.kernel
def test_object(tmp_path):
    """It holds every program and map, and says of which sources it was made by which headers."""
    found = compiled(stub(), tmp_path)

    assert set(PROGRAMS) == set(found.programs)
    assert set(MAPS) == set(found.maps)
    assert source.digest(stub()) == found.digest
    assert source.state_digest(stub()) == found.state
    assert headers.find().origin == found.headers
    assert found.compile_s > 0
    assert (ARRAY, 4, 8, 1) == (
        found.maps["flows"].type,
        found.maps["flows"].key_size,
        found.maps["flows"].value_size,
        found.maps["flows"].max_entries,
    )
    assert (PROG_ARRAY, RINGBUF) == (found.maps["programs"].type, found.maps["events"].type)
    assert ["scratches"] == list(found.programs["entry"].maps.values())


def test_compiled_once(tmp_path, monkeypatch):
    """The second time needs no compiler: the object lies in the cache."""
    first = compiled(stub(), tmp_path)
    monkeypatch.setattr(sys, "executable", "/bin/false")

    assert first == compiled(stub(), tmp_path)
    assert [f"{source.digest(stub())}.json"] == [path.name for path in tmp_path.iterdir()]


def test_compiler_without_end(tmp_path, monkeypatch):
    """It is ended, and the words say what to do."""
    monkeypatch.setattr("dlp.datapath.datapath._BUILD_TIMEOUT_S", 0.01)
    with pytest.raises(KernelError, match="did not end") as caught:
        compiled(stub(), tmp_path)

    assert "less busy" in caught.value.remedy
    assert [] == list(tmp_path.iterdir())


def test_other_sources_are_compiled(tmp_path):
    """The cache is by the digest of the sources."""
    compiled(stub(), tmp_path)
    compiled(stub(judge="return 1;"), tmp_path)

    assert 2 == len(list(tmp_path.iterdir()))


def test_harmed_object_is_compiled_anew(tmp_path):
    """A cached file that was cut short, or that others could have written, is not used."""
    first = compiled(stub(), tmp_path)
    (path,) = tmp_path.iterdir()
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    second = compiled(stub(), tmp_path)
    path.chmod(0o666)
    third = compiled(stub(), tmp_path)

    assert first.programs == second.programs == third.programs
    assert 0o600 == path.stat().st_mode & 0o777


def test_does_not_compile(tmp_path):
    """The compiler's words come through, with file and line; nothing stays behind."""
    text = '#line 1 "scan.h"\nint wrong = nonsense;\n' + stub()
    with pytest.raises(KernelError) as raised:
        compiled(text, tmp_path)

    assert raised.value.message.startswith("bpf/ does not compile:\n")
    assert "scan.h:1" in raised.value.message
    assert "nonsense" in raised.value.message
    assert [] == list(tmp_path.iterdir())


def test_warnings_are_errors(tmp_path):
    """A source that compiles with a warning is refused."""
    with pytest.raises(KernelError, match="-Wint-conversion"):
        compiled(stub(scan2="int *p = 7; return p != 0;"), tmp_path)


def test_only_the_end_of_many_words(tmp_path):
    """A thousand errors are not the message."""
    text = "\n".join(f"int wrong{n} = nonsense{n};" for n in range(50)) + stub()
    with pytest.raises(KernelError) as raised:
        compiled(text, tmp_path)

    assert len(raised.value.message.splitlines()) < 20


def test_missing_bcc(tmp_path, monkeypatch):
    """Without bcc the error is of its own class and names the package."""
    (tmp_path / "bcc.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MissingDependency) as raised:
        compiled(stub(), tmp_path / "cache")

    assert "apt-get install python3-bpfcc" in raised.value.remedy


def child(tmp_path, monkeypatch, script: str) -> None:
    """In place of Python, which runs the compiler."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def test_class_of_an_error(tmp_path, monkeypatch):
    """It arrives in the daemon as it was raised in the child: the exit code hangs on it."""
    told = {"error": "MissingHeaders", "message": "no headers", "remedy": "install some"}
    child(tmp_path, monkeypatch, f"echo '{json.dumps(told)}'; exit 3")
    with pytest.raises(MissingHeaders) as raised:
        compiled(stub(), tmp_path / "cache")

    assert ("no headers", "install some") == (raised.value.message, raised.value.remedy)


def test_error_of_no_known_class(tmp_path, monkeypatch):
    """What the child cannot name is still an error that the user is told of."""
    told = {"error": "Riddle", "message": "what", "remedy": ""}
    child(tmp_path, monkeypatch, f"echo '{json.dumps(told)}'; exit 3")
    with pytest.raises(KernelError, match="what"):
        compiled(stub(), tmp_path / "cache")


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'out of memory' >&2; exit 137", "the compiler ended with 137: out of memory"),
        ("exit 0", "the compiler ended with 0"),
    ],
)
def test_child_that_breaks(tmp_path, monkeypatch, script: str, expected: str):
    """A child that ends without a word, or without its work, is an error."""
    child(tmp_path, monkeypatch, script)
    with pytest.raises(KernelError, match=expected):
        compiled(stub(), tmp_path / "cache")


def test_relocations():
    """Only 16-byte loads of a map's descriptor are relocated, by instruction index."""
    move = bytes.fromhex("b700000000000000")
    plain = bytes.fromhex("1801000005000000" + "0000000000000000")
    of_map = bytes.fromhex("1811000005000000" + "0000000000000000")

    assert {3: "flows"} == _program(move + plain + of_map, {5: "flows"}).maps


def test_command_line(tmp_path):
    """The child as it is run writes the object and says nothing."""
    text, made = tmp_path / "joined.c", tmp_path / "object.json"
    text.write_text(stub())
    done = subprocess.run(
        [sys.executable, "-m", "dlp.datapath.build", str(text), str(made)],
        check=True,
        capture_output=True,
        text=True,
    )

    assert ("", "") == (done.stdout, done.stderr)
    assert source.digest(stub()) == objects.read(made).digest
