"""What a trial came to, for programs: one JSON object, or JUnit XML for a CI server.

JUnit as its readers agree on it: a suite for each pack, a case for each signature.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

from dlp.trial.samples import Tried


def summary(engine: str, tried: Sequence[Tried]) -> dict[str, Any]:
    """Totals, and every signature with its failures."""
    return {
        "engine": engine,
        "signatures": len(tried),
        "samples": sum(one.samples for one in tried),
        "streams": sum(one.streams for one in tried),
        "seconds": round(sum(one.seconds for one in tried), 3),
        "failed": sum(1 for one in tried if one.failures),
        "results": [dataclasses.asdict(one) for one in tried],
    }


def junit(engine: str, tried: Sequence[Tried]) -> bytes:
    """The XML document, UTF-8."""
    packs = dict.fromkeys(one.pack for one in tried)
    root = ET.Element("testsuites", _numbers(tried), name=f"dlp signatures test ({engine})")
    for pack in packs:
        own = [one for one in tried if one.pack == pack]
        suite = ET.SubElement(root, "testsuite", _numbers(own), name=pack)
        for one in own:
            case = ET.SubElement(
                suite,
                "testcase",
                classname=pack,
                name=one.signature,
                time=f"{one.seconds:.4f}",
            )
            if one.failures:
                told = "\n".join(str(failure) for failure in one.failures)
                failure = ET.SubElement(case, "failure", message=str(one.failures[0]))
                failure.text = told
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _numbers(tried: Sequence[Tried]) -> dict[str, str]:
    return {
        "tests": str(len(tried)),
        "failures": str(sum(1 for one in tried if one.failures)),
        "errors": "0",
        "time": f"{sum(one.seconds for one in tried):.4f}",
    }
