"""The host's setting for expedited grace periods: on for the length of a call, and put back."""

import threading

import pytest

from dlp.datapath import grace


@pytest.fixture
def setting(tmp_path, monkeypatch):
    """A file in the place of the host's setting, which is off."""
    path = tmp_path / "rcu_expedited"
    path.write_text("0\n")
    monkeypatch.setattr(grace, "SETTING", path)
    return path


def test_on_within_and_off_behind(setting):
    with grace.expedited():
        assert setting.read_text() == "1\n"
    assert setting.read_text() == "0\n"


def test_nested(setting):
    with grace.expedited():
        with grace.expedited():
            pass
        assert setting.read_text() == "1\n"
    assert setting.read_text() == "0\n"


def test_put_back_after_an_error(setting):
    with pytest.raises(ValueError, match="within"), grace.expedited():
        raise ValueError("within")
    assert setting.read_text() == "0\n"


def test_left_on_where_the_host_has_it_on(setting):
    setting.write_text("1\n")
    with grace.expedited():
        pass
    assert setting.read_text() == "1\n"


@pytest.mark.parametrize("path", ["missing", "."])
def test_does_without(setting, tmp_path, monkeypatch, path):
    monkeypatch.setattr(grace, "SETTING", tmp_path / path)
    with grace.expedited():
        pass
    assert setting.read_text() == "0\n"


def test_of_many_threads(setting):
    """While one is within it is on; when the last has gone it is off."""
    off_within, begin = [], threading.Barrier(8)

    def work() -> None:
        begin.wait()
        for _ in range(200):
            with grace.expedited():
                if setting.read_text() != "1\n":
                    off_within.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not off_within
    assert setting.read_text() == "0\n"


def test_passed(setting, monkeypatch):
    """The kernel is asked to wait for all that runs, expedited; nothing is slept."""
    asked = []
    monkeypatch.setattr(grace.time, "sleep", asked.append)
    monkeypatch.setattr(
        grace, "_membarrier", lambda command: asked.append((command, setting.read_text())) or True
    )
    grace.passed()

    assert [(1, "1\n")] == asked
    assert setting.read_text() == "0\n"


def test_passed_without(setting, monkeypatch):
    """Where the kernel does not take the call, it is waited for longer than a program runs."""
    slept = []
    monkeypatch.setattr(grace.time, "sleep", slept.append)
    monkeypatch.setattr(grace, "_SYS_MEMBARRIER", 10_000)
    grace.passed()

    assert [grace.LONG_S] == slept


def test_call(setting):
    """The call is the kernel's own: it takes this command, and no other of the kind."""
    assert grace._membarrier(grace._GLOBAL)
    assert not grace._membarrier(1 << 30)
