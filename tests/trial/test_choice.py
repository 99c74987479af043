"""Which engine: the kernel where it can be had."""

import pytest

from dlp.errors import PrivilegeError
from dlp.trial.choice import Wanted, engine_for


def test_model(image):
    """Asked for, it is taken."""
    engine, why = engine_for(image, Wanted.MODEL)

    assert ("model", "asked for") == (engine.name, why)


def test_without_root(image, monkeypatch):
    """AUTO falls back to the model and says why; KERNEL is an error."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    engine, why = engine_for(image, Wanted.AUTO)

    assert "model" == engine.name
    assert "loads programs" in why
    with pytest.raises(PrivilegeError):
        engine_for(image, Wanted.KERNEL)


@pytest.mark.kernel
def test_with_root(image):
    """AUTO takes the kernel."""
    engine, why = engine_for(image, Wanted.AUTO)
    engine.close()

    assert ("kernel", "") == (engine.name, why)
