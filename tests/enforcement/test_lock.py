"""The lock that keeps a second gateway off a host."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from dlp.enforcement.lock import alone
from dlp.errors import KernelError


def test_second_is_refused(tmp_path):
    """While one holds it another is told, with what to do."""
    path = tmp_path / "run/lock"
    with (
        alone(path),
        pytest.raises(KernelError, match="a gateway runs on this host") as caught,
        alone(path),
    ):
        pass

    assert "dlp status" in caught.value.remedy


def test_free_again(tmp_path):
    """The next one gets it once the block has ended."""
    path = tmp_path / "lock"
    with alone(path):
        pass
    with alone(path):
        assert path.exists()


def test_killed_holder(tmp_path):
    """A holder that is killed leaves nothing that would have to be cleared away."""
    path = tmp_path / "lock"
    code = textwrap.dedent("""
        import sys, pathlib
        from dlp.enforcement.lock import alone
        with alone(pathlib.Path(sys.argv[1])):
            print("held", flush=True)
            sys.stdin.read()
    """)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert "held\n" == holder.stdout.readline()
        with pytest.raises(KernelError), alone(path):
            pass
        holder.kill()
        holder.wait()
    with alone(path):
        assert path.exists()
