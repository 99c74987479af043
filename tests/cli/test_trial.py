"""`dlp signatures test`: samples, text, traffic, profile; exit codes for CI."""

import json
from xml.etree import ElementTree as ET

import pytest
from scapy.utils import wrpcap

from tests import packets as pk

SECRET = b"ALPHAKEY-123456"


@pytest.fixture
def test(dlp, directory):
    """Try the pack of the directory on the model."""

    def run(*arguments: object):
        return dlp("signatures", "test", directory / "own.yaml", "--engine", "model", *arguments)

    return run


def test_samples(test):
    """One line says what was tried, on what."""
    result = test()

    assert 0 == result.code
    assert result.out.startswith("OK: 1 signatures, 2 samples, 31 streams, 0 signatures failed")
    assert "(model: asked for)" in result.out


def test_json(test):
    found = json.loads(test("--json").out)

    assert ("model", 1, 2, 0) == tuple(
        found[key] for key in ("engine", "signatures", "samples", "failed")
    )
    assert "own.key.alpha" == found["results"][0]["signature"]


def test_junit(test, tmp_path):
    """The file is written beside the words."""
    result = test("--junit", tmp_path / "out.xml")

    assert 0 == result.code
    root = ET.parse(tmp_path / "out.xml").getroot()  # noqa: S314 - written by us
    assert "1" == root.get("tests")


def test_a_failing_sample(test, monkeypatch):
    """Exit code 1, the sample by number and cut, and nothing of its text."""
    monkeypatch.setattr("dlp.signatures.model.Model.stream", lambda *_, **__: iter(()))
    result = test()

    assert 1 == result.code
    assert "own.key.alpha: must_match[0], whole: silent, expected found" in result.out
    assert "ALPHAKEY" not in result.out + result.err


def test_text(test, tmp_path):
    """Matches with place and masked value; the exit code says that there are some."""
    (tmp_path / "log").write_bytes(b"one\n " + SECRET + b"\n")
    (tmp_path / "clean").write_bytes(b"nothing here\n")
    result = test("--text", tmp_path / "log")

    assert 1 == result.code
    assert "ALPH***********" in result.out
    assert "line 2, column 2" in result.out
    assert SECRET.decode() not in result.out
    assert 0 == test("--text", tmp_path / "clean").code


def test_pcap(test, tmp_path):
    """Captured traffic, as JSON."""
    wrpcap(str(tmp_path / "c.pcap"), [pk.tcp(b"x " + SECRET, port=4000)])
    result = test("--pcap", tmp_path / "c.pcap", "--json")

    found = json.loads(result.out)
    assert 1 == result.code
    assert "own.key.alpha" == found["sources"][0]["matches"][0]["signature"]
    assert SECRET.decode() not in result.out


def test_profile(test):
    """The costliest signature first."""
    found = json.loads(test("--profile", "--json").out)

    assert "own.key.alpha" == found["signatures"][0]["signature"]
    assert found["bytes"] > 100_000
    assert "built-in corpus" in test("--profile").out


def test_a_bad_capture(test, tmp_path):
    """An error with the file and the byte, not a traceback."""
    (tmp_path / "bad.pcap").write_bytes(b"no capture")
    result = test("--pcap", tmp_path / "bad.pcap")

    assert 2 == result.code
    assert result.err.startswith(f"dlp: error: {tmp_path}/bad.pcap: is neither pcap nor pcapng")


@pytest.mark.parametrize(
    "arguments",
    [("--engine", "none"), ("--profile", "--junit", "x.xml"), ("--junit", "/no/such/dir/x.xml")],
)
def test_usage(dlp, directory, arguments):
    """What cannot be carried out is said."""
    result = dlp("signatures", "test", directory / "own.yaml", *arguments)

    assert 2 == result.code
    assert result.err.startswith("dlp: error: ")
    assert not (directory / "x.xml").exists()
