"""What an earlier process attached, and what this one does, as it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
import structlog

from dlp.datapath.attach import Attached
from dlp.datapath.links import Pins
from dlp.enforcement import record
from dlp.enforcement.ledger import Ledger
from dlp.enforcement.places import Places
from dlp.enforcement.record import Entry
from dlp.workloads.netns import open_netns

pytest_plugins = ["tests.netlab_fixture"]

DEVICE = Attached(device="eth0", index=2)
TCP = {"tcp_rto_min_us": 200_000, "tcp_frto": 2}
EARLIER = (Entry("web", 11, (DEVICE,), 2.5, TCP), Entry("api", 12, ()))


@dataclass
class Controlled:
    """The part of a namespace that is written down."""

    inode: int
    attached: tuple[Attached, ...] = ()
    unprotected_ms: float | None = None
    tcp: Mapping[str, int] = field(default_factory=dict)
    adopted: tuple[object, ...] = ()

    def adopt(self, *what: object) -> None:
        self.adopted = what


@pytest.fixture
def path(tmp_path):
    """A record of an earlier process."""
    made = tmp_path / "attached.json"
    record.write(made, EARLIER)
    return made


@pytest.fixture
def controlled():
    """Namespaces at present, by name."""
    return {}


@pytest.fixture
def ledger(path, controlled):
    return Ledger(path, lambda: controlled, structlog.get_logger())


def written(ledger, path) -> list[Entry]:
    ledger.changed()
    ledger.close()
    return sorted(record.read(path), key=lambda one: one.inode)


def test_names(ledger):
    """Of namespaces that an earlier process had under control."""

    assert ("web", "") == (ledger.name_of(11), ledger.name_of(13))
    assert {11: "web", 12: "api"} == ledger.earlier()


def test_hand_over(ledger):
    """A namespace is told what was attached, how long it was unprotected, TCP's settings."""
    known, new = Controlled(11), Controlled(13)
    ledger.hand_over(known)
    ledger.hand_over(new)
    attached, recorded, *rest = known.adopted

    assert (DEVICE,) == attached
    assert recorded > 0
    assert [2.5, TCP] == rest
    assert () == new.adopted


async def test_nothing_is_forgotten(ledger, path, controlled):
    """Until a namespace is taken over, what was written down of it stays written down."""
    controlled["web"] = Controlled(11)
    before = written(ledger, path)
    ledger.taken_over(11)
    after = written(ledger, path)

    assert list(EARLIER) == before
    assert [Entry("web", 11, ()), EARLIER[1]] == after


async def test_not_let_go(ledger, path, controlled):
    """What could not be taken off is written down still."""
    ledger.taken_over(11)
    ledger.not_let_go("web", Controlled(11, (DEVICE,)))

    assert [Entry("web", 11, (DEVICE,)), EARLIER[1]] == written(ledger, path)


async def test_gone_while_no_gateway_ran(ledger, path, tmp_path):
    """A namespace that is not there any more is forgotten."""
    present = ledger.take_stock(["web"], Pins(tmp_path / "links"), Places())

    assert {} == present
    assert [] == written(ledger, path)


@pytest.mark.netns
async def test_listed_and_there(lab, path, controlled, tmp_path):
    """What is listed is left as it is, and told with its inode."""
    name = lab.namespace("kept")
    with open_netns(name) as handle:
        inode = handle.inode
    record.write(path, (*EARLIER, Entry(name, inode, (DEVICE,))))
    ledger = Ledger(path, lambda: controlled, structlog.get_logger())
    present = ledger.take_stock([name, "nobody"], Pins(tmp_path / "links"), Places())

    assert {name: inode} == present
    assert [Entry(name, inode, (DEVICE,))] == written(ledger, path)
