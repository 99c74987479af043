"""Results for programs: JSON adds up, JUnit is what CI servers read."""

from xml.etree import ElementTree as ET

from dlp.trial.report import junit, summary
from dlp.trial.samples import Failure, Tried

FAILED = Failure("a.b.c", "must_match[1]", "cut at 3", "found", "silent", "a.yaml:7", 2)


def tried(name: str, pack: str = "a", *failures: Failure) -> Tried:
    return Tried(
        signature=name,
        pack=pack,
        decided="kernel",
        draft=False,
        samples=4,
        streams=90,
        seconds=0.25,
        failures=failures,
    )


TRIED = [tried("a.b.c", "a", FAILED), tried("a.b.d"), tried("z.y.x", "z")]


def test_summary():
    """Totals and every signature."""
    found = summary("kernel", TRIED)

    assert ("kernel", 3, 12, 270, 1) == tuple(
        found[key] for key in ("engine", "signatures", "samples", "streams", "failed")
    )
    assert ["a.b.c", "a.b.d", "z.y.x"] == [one["signature"] for one in found["results"]]
    assert "must_match[1]" == found["results"][0]["failures"][0]["sample"]


def test_junit():
    """A suite for each pack, a case for each signature, a failure with its cut."""
    root = ET.fromstring(junit("kernel", TRIED))  # noqa: S314 - written by us

    assert ("testsuites", "3", "1") == (root.tag, root.get("tests"), root.get("failures"))
    assert [("a", "2", "1"), ("z", "1", "0")] == [
        (suite.get("name"), suite.get("tests"), suite.get("failures")) for suite in root
    ]
    assert ["a.b.c", "a.b.d", "z.y.x"] == [case.get("name") for case in root.iter("testcase")]
    (failure,) = root.iter("failure")
    assert "must_match[1], cut at 3: silent, expected found" in (failure.get("message") or "")
    assert "2 more cuts" in (failure.text or "")
