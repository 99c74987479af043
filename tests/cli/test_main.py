"""The tree of commands and how an error ends it."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from dlp import errors
from dlp.cli import main as cli
from dlp.cli.main import app

DOCS = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def leaves(group: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all commands."""
    command = typer.main.get_command(group)
    yield from _walk(command, path)


def _walk(command, path):
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from _walk(child, (*path, name))


COMMANDS = {" ".join(path): command for path, command in leaves(app)}


def test_commands():
    """These are the commands; a new one belongs in the documentation too."""

    assert {
        "run",
        "reload",
        "detach",
        "digest",
        "status",
        "workloads",
        "flows",
        "stats",
        "verdicts",
        "events",
        "incidents",
        "quarantine",
        "release build",
        "release sign",
        "release verify",
        "release upload",
        "release list",
        "release show",
        "release diff",
        "release shadow",
        "release activate",
        "release rollback",
        "release workload",
        "keys create",
        "keys show",
        "keys trust init",
        "keys trust change",
        "keys trust sign",
        "keys trust show",
        "doctor",
        "simulate attack",
        "config check",
        "config show",
        "signatures list",
        "signatures explain",
        "signatures check",
        "signatures test",
        "signatures import gitleaks",
        "signatures export",
        "token create",
        "token list",
        "token revoke",
    } == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_documented(name):
    """Each command has a section with an example, and its own options are named there."""
    text = DOCS.read_text()
    sections = dict(
        re.findall(r"^### `dlp ([a-z ]+)`\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
    )

    assert f"    dlp {name}" in sections[name]
    chapter = text.split(f"### `dlp {name}`")[0].rsplit("\n## ", 1)[1] + sections[name]
    for parameter in COMMANDS[name].params:
        for option in parameter.opts:
            if option.startswith("--") and option not in {"--json", "--help"}:
                assert option in chapter, option


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(dlp, name):
    """Every command's help ends with examples that begin with the command."""
    result = dlp(*name.split(), "--help")

    assert 0 == result.code
    _, examples = result.out.split("Examples:")
    assert all(line.startswith(f"dlp {name}") for line in examples.strip().split("\n    "))


def test_exit_codes_documented():
    """The table of exit codes is that of the exceptions."""
    rows = re.findall(r"^\| (\d+) \|.*\|(.*)\|$", DOCS.read_text(), re.MULTILINE)
    documented = {name: int(code) for code, names in rows for name in re.findall(r"`(\w+)`", names)}

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    top = [kind for kind in kinds if kind.__base__ in {errors.DlpError, Exception}]
    assert {kind.__name__: kind.exit_code for kind in top} == documented


@pytest.mark.parametrize("arguments", [["nonsense"], ["run"], ["flows", "--limit", "x"], ["--no"]])
def test_usage(dlp, arguments):
    """A command line that is none ends with 2 and says why."""
    result = dlp(*arguments)

    assert 2 == result.code
    assert "Error" in result.err
    assert "Traceback" not in result.err


def test_dlp_error(dlp, monkeypatch):
    """A DlpError is one line on standard error with the remedy, and its own exit code."""

    def fail() -> None:
        raise errors.KernelError("refused\nby \x1b[31mthe kernel", remedy="boot another")

    monkeypatch.setattr("dlp.cli.checks.run_all", fail)
    result = dlp("doctor")

    assert errors.KernelError.exit_code == result.code
    assert "dlp: error: refused?by ?[31mthe kernel (boot another)\n" == result.err
    assert not result.out


def test_interrupt(dlp, monkeypatch):
    """Ctrl-C ends with 130 and without a traceback."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dlp.cli.checks.run_all", interrupt)

    assert 130 == dlp("doctor").code


def test_version(dlp):
    """The version is told."""

    assert re.fullmatch(r"dlp \d+\.\d+\.\d+\n", dlp("--version").out)


def test_no_arguments(dlp):
    """Without a command, the help is shown."""

    result = dlp()
    assert "Commands:" in result.out + result.err


def test_start_is_light():
    """Help loads nothing heavy: it comes in a fraction of a second."""
    code = (
        "import sys\n"
        "from dlp.cli import main\n"
        "heavy = {'aiohttp', 'asyncio', 'bcc', 'hyperscan', 'pydantic', 'pyroute2', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    started = time.monotonic()
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == found.stdout.strip()
    assert time.monotonic() - started < 5


def test_closed_pipe(tmp_path: Path):
    """A reader that goes away (`| head`) ends the command quietly."""
    script = f"{sys.executable} -m dlp doctor --json | true; echo ${{PIPESTATUS[0]}}"
    found = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, cwd=DOCS.parents[1]
    )

    assert "Traceback" not in found.stderr
    assert "Exception ignored" not in found.stderr


def test_main_never_returns(monkeypatch):
    """The entry point ends the process itself, so that `python -m dlp` has the same exit code."""
    monkeypatch.setattr("sys.argv", ["dlp", "--version"])

    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert not raised.value.code
