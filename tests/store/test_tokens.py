"""API tokens."""

from __future__ import annotations

import hmac
import re
import stat

import pytest

from dlp.errors import UsageError
from dlp.store import tokens
from dlp.store.tokens import Role, TokenStore


@pytest.fixture
def store(tmp_path):
    return TokenStore(tmp_path / "tokens.db")


def test_create_and_verify(store):
    """A token is known by its name and role, also to another process's store."""
    token = store.create("ci", Role.OPERATOR)

    found = TokenStore(store.path).verify(token)

    assert re.fullmatch(r"dlp_[A-Za-z0-9_-]{43}", token)
    assert ("ci", Role.OPERATOR) == (found.name, found.role)
    assert 0o600 == stat.S_IMODE(store.path.stat().st_mode)


def test_token_is_not_stored(store):
    """Neither the token nor its random part lies in the file."""
    token = store.create("ci", Role.VIEWER)

    assert token.removeprefix("dlp_").encode() not in store.path.read_bytes()


@pytest.mark.parametrize("shown", ["", "dlp_", "x", "dlp_\udcff", "dlp_" + "A" * 43, "\0" * 9000])
def test_unknown_token(store, shown):
    """Nothing but the token is a token."""
    store.create("ci", Role.VIEWER)

    assert store.verify(shown) is None


def test_verify_compares_all(store, monkeypatch):
    """A check compares every digest, in constant time each, also after a match."""
    made = [store.create(f"t{n}", Role.VIEWER) for n in range(5)]
    compared = []
    monkeypatch.setattr(
        tokens.hmac,
        "compare_digest",
        lambda a, b, real=hmac.compare_digest: compared.append(b) or real(a, b),
    )

    assert "t0" == store.verify(made[0]).name
    assert 5 == len(compared)


def test_revoke(store):
    """A revoked token is refused at once, the others stay; its name may be given again."""
    gone, kept = store.create("gone", Role.VIEWER), store.create("kept", Role.VIEWER)

    store.revoke("gone")

    assert store.verify(gone) is None
    assert store.verify(kept) is not None
    assert ["kept"] == [token.name for token in store.list()]
    assert store.create("gone", Role.OPERATOR) != gone


@pytest.mark.parametrize("name", ["", "-x", "a b", "a\n", "é", "x" * 65, "a/b"])
def test_bad_name(store, name):
    """A name that cannot be typed is refused."""
    with pytest.raises(UsageError, match="not a token name"):
        store.create(name, Role.VIEWER)


def test_taken_name(store):
    """Two tokens never share a name."""
    store.create("ci", Role.VIEWER)

    with pytest.raises(UsageError, match="exists"):
        store.create("ci", Role.OPERATOR)


def test_revoke_unknown(store):
    """Revoking what is not there is an error."""
    with pytest.raises(UsageError, match="no such token"):
        store.revoke("ghost")


def test_too_many(store, monkeypatch):
    """Their number is bounded, because each check reads all."""
    monkeypatch.setattr(tokens, "MAX_TOKENS", 2)
    store.create("a", Role.VIEWER)
    store.create("b", Role.VIEWER)

    with pytest.raises(UsageError, match="there are 2 tokens"):
        store.create("c", Role.VIEWER)


@pytest.mark.parametrize(
    ("has", "needed", "covered"),
    [
        (Role.VIEWER, Role.VIEWER, True),
        (Role.VIEWER, Role.OPERATOR, False),
        (Role.OPERATOR, Role.VIEWER, True),
        (Role.OPERATOR, Role.OPERATOR, True),
        (Role.OPERATOR, Role.ADMIN, False),
        (Role.VIEWER, Role.ADMIN, False),
        (Role.ADMIN, Role.VIEWER, True),
        (Role.ADMIN, Role.OPERATOR, True),
        (Role.ADMIN, Role.ADMIN, True),
    ],
)
def test_roles(has, needed, covered):
    """An operator may do all that a viewer may."""
    assert covered == has.covers(needed)
