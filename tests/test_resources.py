"""The data directories are found in a checkout and in an installed wheel."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dlp import resources
from dlp.errors import DlpError

ROOT = Path(__file__).resolve().parent.parent


def test_checkout():
    """In a checkout both directories are those of its root."""

    assert ROOT / "bpf" == resources.bpf_dir()
    assert ROOT / "signatures" == resources.signatures_dir()


def test_wheel_data_wins(tmp_path: Path):
    """An installed package takes its own copy, whatever lies beside it in site-packages."""
    package = tmp_path / "dlp"
    (package / "_data" / "bpf").mkdir(parents=True)
    (tmp_path / "bpf").mkdir()

    assert package / "_data" / "bpf" == resources._find("bpf", package)


def test_missing(tmp_path: Path):
    """An installation without the files says so, and what to do."""

    with pytest.raises(DlpError) as raised:
        resources._find("bpf", tmp_path / "dlp")

    assert "bpf/" in raised.value.message
    assert raised.value.remedy


def test_built_wheel(tmp_path: Path):
    """The wheel holds every C source and pack of the checkout, and finds them there."""
    # The build backend itself, not `pip wheel`: that would fetch it anew for its isolation.
    subprocess.run(
        [sys.executable, "-c", f"import hatchling.build as b; b.build_wheel({str(tmp_path)!r})"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "from dlp import resources as r; print(r.bpf_dir()); print(r.signatures_dir())",
        ],
        cwd=tmp_path,
        # Ahead of the editable install of this environment.
        env={**os.environ, "PYTHONPATH": str(site)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()

    data = site / "dlp" / "_data"
    assert [str(data / "bpf"), str(data / "signatures")] == found
    for name in ("bpf", "signatures"):
        expected = {path.name for path in (ROOT / name).rglob("*") if path.is_file()}
        assert expected == {path.name for path in (data / name).rglob("*") if path.is_file()}
