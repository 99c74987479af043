"""Which workloads are cut, on disk."""

from __future__ import annotations

import json
import stat

import pytest

from dlp.enforcement.quarantine import FILE, Cut, Quarantine
from dlp.errors import StoreError

CUT = Cut(workload="web", reason="leak", by="token ops", time=1000.0)


def test_kept(tmp_path):
    """What was cut is cut for the next process too, with its reason, until released."""
    Quarantine(tmp_path).cut(CUT)
    again = Quarantine(tmp_path)

    assert ["web"] == [one.workload for one in again]
    assert CUT == again.get("web")
    assert "web" in again
    assert again.release("web")
    assert "web" not in Quarantine(tmp_path)


def test_idempotent(tmp_path):
    """The first reason stays; what is not cut is not released."""
    quarantine = Quarantine(tmp_path)
    quarantine.cut(CUT)
    quarantine.cut(Cut(workload="web", reason="again", by="token other", time=2000.0))

    assert CUT == quarantine.get("web")
    assert not quarantine.release("db")


def test_file(tmp_path):
    """Root's alone, and nothing half-written beside it."""
    Quarantine(tmp_path / "state").cut(CUT)

    assert [FILE] == [path.name for path in (tmp_path / "state").iterdir()]
    assert 0o600 == stat.S_IMODE((tmp_path / "state" / FILE).stat().st_mode)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '[{"workload": "web"}]',
        '[{"workload": 1, "reason": "", "by": "", "time": 0}]',
    ],
)
def test_damaged(tmp_path, text):
    """Nobody guesses which workloads are cut."""
    (tmp_path / FILE).write_text(text)

    with pytest.raises(StoreError, match="damaged"):
        Quarantine(tmp_path)


def test_later_fields(tmp_path):
    """A file of a later release, which knows more of each, is read."""
    item = {"workload": "web", "reason": "leak", "by": "x", "time": 1000, "ticket": "A-1"}
    (tmp_path / FILE).write_text(json.dumps([item]))

    assert 1000.0 == Quarantine(tmp_path).get("web").time


def test_disk_that_fails(tmp_path):
    """What cannot be written down is an error: cut all the same, released not at all."""
    quarantine = Quarantine(tmp_path)
    quarantine.cut(CUT)
    (tmp_path / f"{FILE.removesuffix('.json')}.partial").mkdir()

    with pytest.raises(StoreError, match="cannot be written"):
        quarantine.cut(Cut(workload="db", reason="leak", by="x", time=1.0))
    with pytest.raises(StoreError, match="cannot be written"):
        quarantine.release("web")
    assert {"web", "db"} == {one.workload for one in quarantine}
