"""Commands that start, change and end a gateway."""

import json
import sys
import types
from pathlib import Path

import pytest

from dlp.errors import ConfigError, Place


@pytest.fixture
def gateway(monkeypatch):
    """Stands for dlp.gateway, which needs root; records its calls."""
    calls: list[tuple[object, ...]] = []

    def run(config_path: Path, netns: list[str], wait: float) -> int:
        calls.append((config_path, netns, wait))
        return 0

    def detach(*, everywhere: bool = False) -> int:
        calls.append(())
        return 3

    fake = types.ModuleType("dlp.gateway")
    fake.run = run
    fake.detach = detach
    monkeypatch.setitem(sys.modules, "dlp.gateway", fake)
    return calls


def test_run(dlp, gateway):
    """Options arrive at the composition root."""
    result = dlp("run", "--config", "x.yaml", "--netns", "a", "--netns", "b", "--wait", "2.5")

    assert 0 == result.code
    assert [(Path("x.yaml"), ["a", "b"], 2.5)] == gateway


def test_run_defaults(dlp, gateway):
    """No namespace is added and nothing waited for unless asked."""
    dlp("run", "-c", "x.yaml")

    assert [(Path("x.yaml"), [], 0.0)] == gateway


def test_run_rejects_a_negative_wait(dlp, gateway):
    """Time does not run backwards."""

    assert 2 == dlp("run", "-c", "x.yaml", "--wait", "-1").code
    assert [] == gateway


def test_detach(dlp, gateway):
    """It needs no argument and tells how many classifiers were taken off."""
    result = dlp("detach")

    assert (0, "detached: 3 classifiers taken off\n") == (result.code, result.out)
    assert [()] == gateway


def test_reload(dlp, api):
    """The result is told, in words or as JSON."""

    assert (
        "changed: release 5, 31 signatures, 2 policies\n" == dlp("reload", "--api", api.socket).out
    )
    assert 31 == json.loads(dlp("reload", "--api", api.socket, "--json").out)["signatures"]
    assert 2 == api.gateway.reloads


def test_reload_of_a_bad_file(dlp, api):
    """The file's place and the remedy come through."""
    api.gateway.failure = ConfigError(
        "unknown key 'mod'", remedy="did you mean 'mode'?", place=Place(Path("/e.yaml"), 4, "mod")
    )
    result = dlp("reload", "--api", api.socket)

    assert 4 == result.code
    assert "/e.yaml:4: mod: unknown key 'mod' (did you mean 'mode'?)" in result.err
