"""The running gateway: what a release in force is spared."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import pytest

from dlp.enforcement.loaded import prepare
from dlp.enforcement.service import GatewayService

POLICY = """\
version: 1
signatures: [pci]
workloads: {netns: [web]}
policies: [{name: all, match: {}, rules: [{signatures: ["*"], action: drop}]}]
"""


class Part:
    """In place of the parts of a gateway: takes what it is given."""

    def __getattr__(self, _name: str):
        async def taken(*_: object) -> None:
            pass

        return taken


@pytest.fixture
def frozen():
    before = gc.get_freeze_count()
    yield before
    gc.unfreeze()


async def test_release_is_not_looked_through_for_garbage(tmp_path, frozen):
    """A set that is in force is here to stay: no search goes through its many values."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    loaded = prepare(policy)
    live: list[object] = []
    gateway = SimpleNamespace(
        _loaded=None,
        _release=1,
        _know=lambda _: None,
        _matcher=Part(),
        _holds=Part(),
        _shadow=Part(),
        _controller=Part(),
        _make_live=lambda: live.append(gateway._loaded),
    )
    await GatewayService._switch(gateway, loaded)
    searched = {id(one) for one in gc.get_objects()}

    assert [loaded] == live
    assert gc.get_freeze_count() > frozen
    assert not searched & {id(one) for one in loaded.image.signatures}
