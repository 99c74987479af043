"""Commands on API tokens."""

import json

from dlp.store.tokens import Role, TokenStore


def test_life_of_a_token(dlp, tmp_path):
    """Created, in force, listed without its value, revoked, gone."""
    where = ["--state-dir", tmp_path]
    token = dlp("token", "create", "--name", "ci", "--role", "operator", *where).out.strip()
    store = TokenStore(tmp_path / "tokens.db")

    assert Role.OPERATOR == store.verify(token).role
    listed = dlp("token", "list", *where)
    assert "ci" in listed.out
    assert token not in listed.out
    (entry,) = json.loads(dlp("token", "list", "--json", *where).out)
    assert {"name", "role", "created"} == set(entry)
    assert 0 == dlp("token", "revoke", "ci", *where).code
    assert store.verify(token) is None
    assert "dlp token create" in dlp("token", "list", *where).out


def test_defaults(dlp, tmp_path):
    """A token named default that may read."""
    dlp("token", "create", "--state-dir", tmp_path)

    (entry,) = TokenStore(tmp_path / "tokens.db").list()
    assert ("default", Role.VIEWER) == (entry.name, entry.role)


def test_state_directory_of_a_policy_file(dlp, directory):
    """The policy file says where the tokens lie."""
    dlp("token", "create", "--config", directory / "dlp.yaml")

    assert (directory / "state" / "tokens.db").is_file()


def test_errors(dlp, tmp_path):
    """A role that is none and a name that is taken or unknown are errors of usage."""
    where = ["--state-dir", tmp_path]
    dlp("token", "create", *where)

    assert 2 == dlp("token", "create", "--role", "root", *where).code
    assert 2 == dlp("token", "create", *where).code
    assert 2 == dlp("token", "revoke", "nobody", *where).code
