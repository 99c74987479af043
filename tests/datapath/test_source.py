"""The kernel programs' source as one text."""

import subprocess

from dlp.datapath import source
from dlp.resources import bpf_dir


def write(directory, **files: str) -> None:
    for name, text in files.items():
        (directory / f"{name}.h").write_text(text)


def test_quoted_includes_are_joined_in(tmp_path):
    """A header stands where it is named; what is in angle brackets is left to the compiler."""
    (tmp_path / "egress.c").write_text('#include <linux/bpf.h>\n#include "one.h"\nint last;\n')
    write(tmp_path, one="int first;\n")

    assert [
        '#line 1 "egress.c"',
        "#include <linux/bpf.h>",
        '#line 1 "one.h"',
        "int first;",
        '#line 3 "egress.c"',
        "int last;",
    ] == source.joined(tmp_path).splitlines()


def test_each_file_once(tmp_path):
    """A header that two others name is joined in at the first."""
    (tmp_path / "egress.c").write_text('#include "one.h"\n#include "two.h"\n')
    write(tmp_path, one='#include "base.h"\n', two='#include "base.h"\n', base="int base;\n")

    assert 1 == source.joined(tmp_path).count("int base;")


def test_lines_are_told_true(tmp_path):
    """A compiler's complaint names the header and its line, not a place in the joined text."""
    (tmp_path / "egress.c").write_text('int a;\n#include "one.h"\nint b;\nnonsense here;\n')
    write(tmp_path, one="int c;\n\nwrong type;\n")
    done = subprocess.run(
        ["gcc", "-fsyntax-only", "-x", "c", "-"],
        check=False,
        input=source.joined(tmp_path),
        capture_output=True,
        text=True,
    )

    assert "one.h:3:" in done.stderr
    assert "egress.c:4:" in done.stderr


def test_main_file_can_be_chosen(tmp_path):
    """Other programs than the classifier are joined alike."""
    (tmp_path / "guard.c").write_text("int guard;\n")

    assert '#line 1 "guard.c"\nint guard;\n' == source.joined(tmp_path, "guard.c")


def test_digest_names_the_text():
    """Any change of the text is another build; the same text is the same."""
    text = source.joined(bpf_dir())

    assert source.digest(text) == source.digest(source.joined(bpf_dir()))
    assert source.digest(text) != source.digest(text + "\n")
    assert 16 == len(source.digest(text))


def test_project_source_is_whole():
    """No quoted include is left, and every header of the directory is part of the text."""
    text = source.joined(bpf_dir())
    left = [line for line in text.splitlines() if line.startswith('#include "')]

    assert [] == left
    for header in bpf_dir().glob("*.h"):
        assert f'#line 1 "{header.name}"' in text
