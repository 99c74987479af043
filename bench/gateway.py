"""The gateway's classifier as a subject, and an empty one beside it.

Each signature set has a build of its own, pinned apart from a gateway in service, since two
sets are measured side by side.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import namespaces
from bench.namespaces import Link
from bench.subject import Candidates, Subject
from dlp.datapath import libbpf
from dlp.datapath.abi import Reason
from dlp.datapath.attach import GSO_MAX_SIZE
from dlp.datapath.datapath import Datapath
from dlp.datapath.pins import BPFFS, Layout, remove_tree
from dlp.model import Action
from dlp.policy import KernelPolicies, KernelPolicy, PolicyFlag, RuleRow
from dlp.signatures.compiler import compile_packs
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import Pack

EMPTY = "empty"
_KEY = 1
_POLICY = 1


@dataclass(frozen=True, slots=True)
class Classifier:
    """A pinned program; `datapath` is None for the empty one."""

    name: str
    fd: int
    pin: Path
    datapath: Datapath | None

    def attach(self, link: Link) -> None:
        """Put it on the egress of the sender's device (clsact), whose packets it bounds."""
        bounded(link)
        device = ("dev", link.device)
        namespaces.run("tc", "qdisc", "add", *device, "clsact", namespace=link.sender)
        namespaces.run(
            *("tc", "filter", "add", *device, "egress", "prio", "1", "handle", "1"),
            *("bpf", "direct-action", "object-pinned", str(self.pin)),
            namespace=link.sender,
        )

    def candidates(self) -> Candidates:
        """Sums since the classifier was loaded."""
        if self.datapath is None:
            return Candidates()
        counters = self.datapath.counters(_KEY)
        return Candidates(
            bytes=counters[Reason.INSPECTED][1],
            bloom=counters[Reason.BLOOM_CANDIDATE][0],
            digit=counters[Reason.DIGIT_CANDIDATE][0],
            shape=counters[Reason.SHAPE_CANDIDATE][0],
            matches=counters[Reason.MATCH][0],
            over_budget=counters[Reason.OVER_BUDGET][0],
        )


def bounded(link: Link) -> None:
    """Packets of the sender's device are bounded as the gateway bounds them."""
    namespaces.run(
        *("ip", "link", "set", "dev", link.device, "gso_max_size", str(GSO_MAX_SIZE)),
        namespace=link.sender,
    )


def pins() -> Path:
    """Where this run pins its builds: apart from a gateway in service and from another version."""
    return BPFFS / f"dlpbench-{os.getpid()}"


@contextmanager
def unpinned() -> Iterator[None]:
    """Nothing of a bench is pinned before, nor after."""
    _remove_all()
    try:
        yield
    finally:
        _remove_all()


def _remove_all() -> None:
    for left in BPFFS.glob("dlpbench-*"):
        remove_tree(left)


@contextmanager
def subjects(sets: Mapping[str, Sequence[Pack]], scratch: Path) -> Iterator[dict[str, Subject]]:
    """An empty classifier, and one for each signature set by its name."""
    with ExitStack() as stack:
        found: dict[str, Subject] = {}
        for name, packs in sets.items():
            layout = Layout(pins() / name, scratch / f"{name}.json")
            datapath = stack.enter_context(Datapath.open(layout, adopt=False))
            _load(datapath, compile_packs(packs))
            if not found:
                found[EMPTY] = _pinned(stack, EMPTY, datapath.empty(), None)
            found[name] = _pinned(stack, name, datapath.entry(_KEY), datapath)
        yield found


def _pinned(stack: ExitStack, name: str, fd: int, datapath: Datapath | None) -> Classifier:
    stack.callback(os.close, fd)
    pin = pins() / f"entry-{name}"
    libbpf.pin(fd, pin)
    return Classifier(name, fd, pin, datapath)


def _load(datapath: Datapath, image: KernelImage) -> None:
    """Every signature alerts and nothing is dropped: what is timed must arrive whole."""
    rules = {number: RuleRow(Action.ALERT, 0, 1) for number in range(len(image.signatures))}
    policy = KernelPolicy(
        name="bench",
        flags=PolicyFlag(0),
        uninspectable=Action.ALLOW,
        destinations=(),
        rules=rules,
        exceptions=(),
    )
    datapath.load(
        image,
        # Number 0 is for workloads that no policy names.
        KernelPolicies(policies=(policy, policy), next_expiry=None),
        hmac_key=b"bench",
        release=1,
        bindings={(_KEY, 0): _POLICY},
    )
