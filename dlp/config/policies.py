"""The grammar of one policy: name, match, destinations, exceptions, rules."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date

from dlp.config.address import network, port_range
from dlp.config.model import (
    CONFIDENCES,
    DESTINATION_ROWS,
    ESCALATION_WINDOW_S,
    RULES,
    SEVERITIES,
    THRESHOLD,
    Destination,
    Match,
    Policy,
    PolicyException,
    Rule,
    Selection,
)
from dlp.config.section import Section, Value
from dlp.config.settings import settings
from dlp.config.source import Scalar
from dlp.config.source import Sequence as ListNode
from dlp.model import Action, DestinationAction

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
_NO_THRESHOLD: tuple[int | None, int] = (None, 0)
_GLOB = re.compile(r"[A-Za-z0-9_.*?\[\]!-]{1,128}")
_NO_POLICY = Policy(name="")

_ACTIONS = {action.label: action for action in Action}
_DESTINATION_ACTIONS = {action.name.lower(): action for action in DestinationAction}


def policy(value: Value, names: dict[str, int]) -> Policy:
    """One entry of `policies`. `names`: line of each policy seen before; extended."""
    section = value.section()
    if section is None:
        return _NO_POLICY
    with section:
        return replace(
            settings(section),
            name=_name(section, names),
            match=section.read("match", _match, _NO_POLICY.match),
            destinations=section.read("destinations", _destinations, ()),
            exceptions=section.read("exceptions", _exceptions, ()),
            rules=_rules(section),
        )


def _name(section: Section, names: dict[str, int]) -> str:
    value = section.need("name", "give the policy a name; verdicts show it")
    if value is None:
        return ""
    remedy = "use up to 64 letters, digits, dots, dashes and underscores"
    name = value.text("a name", remedy)
    if name and not _NAME.fullmatch(name):
        value.expected("a name", remedy)
    elif name in names:
        value.problem(
            f"the name is taken by the policy in line {names[name]}", "choose another name"
        )
    elif name:
        names[name] = value.line
    return name


def _match(value: Value) -> Match:
    section = value.section()
    if section is None:
        return Match()
    with section:
        return Match(
            netns=section.read("netns", _globs, ()), cgroup=section.read("cgroup", _globs, ())
        )


def _globs(value: Value) -> tuple[str, ...]:
    globs = tuple(item.text("a glob") for item in value.items("globs", single=True))
    if isinstance(value.node, ListNode) and not globs:
        value.problem(
            "found an empty list, which matches nothing", "leave the key out to match all"
        )
    return tuple(glob for glob in globs if glob)


def _destinations(value: Value) -> tuple[Destination, ...]:
    found = tuple(
        entry for item in value.items("destinations") if (entry := _destination(item)) is not None
    )
    rows = sum(entry.rows for entry in found)
    if rows > DESTINATION_ROWS:
        value.problem(
            f"found {rows} rows (one for each port), the kernel holds {DESTINATION_ROWS}",
            "join ports to ranges and networks to larger ones",
        )
    return found


def _destination(value: Value) -> Destination | None:
    section = value.section()
    if section is None:
        return None
    with section:
        cidr = section.need("cidr", "add the network, as `cidr: 10.0.0.0/8`")
        action = section.need("action", "add `action: exempt`, `inspect` or `deny`")
        ports = section.get("ports")
        ranges = (
            tuple(port_range(item) for item in ports.items("ports", single=True)) if ports else ()
        )
        if ports and isinstance(ports.node, ListNode) and not ranges:
            ports.problem("found an empty list, which matches nothing", "leave the key out for all")
    if cidr is None or action is None:
        return None
    return Destination(
        network=network(cidr),
        ports=ranges,
        action=action.choice(_DESTINATION_ACTIONS, DestinationAction.INSPECT),
    )


def _exceptions(value: Value) -> tuple[PolicyException, ...]:
    found: dict[bytes, int] = {}
    entries = []
    for item in value.items("exceptions"):
        entry = _exception(item)
        if entry is None:
            continue
        if entry.digest in found:
            item.problem(
                f"this digest stands in line {found[entry.digest]} already", "remove one of them"
            )
        found[entry.digest] = item.line
        entries.append(entry)
    return tuple(entries)


def _exception(value: Value) -> PolicyException | None:
    section = value.section()
    if section is None:
        return None
    with section:
        digest = section.need("digest", "make it with `dlp digest --signature ID`")
        until = section.need("until", "add the day it ends, as `until: 2027-01-31`")
        reason = section.need("reason", "say why the value may pass; auditors ask")
    if digest is None or until is None or reason is None:
        return None
    text = digest.node.text if isinstance(digest.node, Scalar) else ""
    if not _DIGEST.fullmatch(text):
        digest.expected("64 hexadecimal digits", "make it with `dlp digest --signature ID`")
        text = ""
    day, why = until.day(date.min), reason.text("a reason")
    return PolicyException(digest=bytes.fromhex(text), until=day, reason=why) if text else None


def _rules(section: Section) -> tuple[Rule, ...]:
    value = section.need("rules", "add rules, or `rules: []` for a policy without any")
    if value is None:
        return ()
    rules = tuple(rule for item in value.items("rules") if (rule := _rule(item)) is not None)
    if len(rules) > RULES:
        value.problem(f"found {len(rules)} rules, expected at most {RULES}", "join rules")
    return rules


def _rule(value: Value) -> Rule | None:
    section = value.section()
    if section is None:
        return None
    with section:
        select = section.get("select")
        wanted = 'add globs over signature ids, as ["pci.*"], or `select`'
        signatures = section.get("signatures") if select else section.need("signatures", wanted)
        action = section.need("action", "add `action: drop`, `hold`, `mirror`, `alert` or `allow`")
        threshold, window_s = section.read("threshold", _threshold, _NO_THRESHOLD)
    if (signatures is None and select is None) or action is None:
        return None
    return Rule(
        signatures=() if signatures is None else _signature_globs(signatures),
        select=None if select is None else _selection(select),
        action=action.choice(_ACTIONS, Action.DROP),
        threshold=threshold,
        window_s=window_s,
    )


def _signature_globs(value: Value) -> tuple[str, ...]:
    globs = []
    for item in value.items("globs", single=True):
        glob = item.text("a glob over signature ids")
        if glob and not _GLOB.fullmatch(glob):
            item.expected("a glob over signature ids", 'write it as "pci.*" or "pii.us.ssn"')
        globs.append(glob)
    if isinstance(value.node, ListNode) and not globs:
        value.problem("found an empty list, expected globs", 'write them as ["pci.*"]')
    return tuple(globs)


def _selection(value: Value) -> Selection | None:
    section = value.section()
    if section is None:
        return None
    with section:
        found = Selection(
            category=section.read("category", _words, ()),
            tag=section.read("tag", _words, ()),
            confidence=section.read("confidence", _levels(CONFIDENCES), ()),
            severity=section.read("severity", _levels(SEVERITIES), ()),
            framework=section.read("framework", _words, ()),
        )
    if found == Selection():
        value.problem("selects by nothing", "add a key, as `category: [payment-card]`")
    return found


def _words(value: Value) -> tuple[str, ...]:
    words = tuple(item.text("a word") for item in value.items("words", single=True))
    if isinstance(value.node, ListNode) and not words:
        value.problem("found an empty list, which names nothing", "leave the key out for all")
    return tuple(word for word in words if word)


def _levels(allowed: tuple[str, ...]) -> Callable[[Value], tuple[str, ...]]:
    choices = {word: word for word in allowed}

    def read(value: Value) -> tuple[str, ...]:
        found = [item.choice(choices, "") for item in value.items("levels", single=True)]
        if isinstance(value.node, ListNode) and not found:
            value.problem("found an empty list, which names nothing", "leave the key out for all")
        return tuple(word for word in found if word)

    return read


def _threshold(value: Value) -> tuple[int | None, int]:
    """Count, and seconds of the window: 0 without one."""
    section = value.section()
    if section is None:
        return _NO_THRESHOLD
    with section:
        count = section.need("count", f"add `count`, 1 to {THRESHOLD}")
        window_s = section.read("window", _window, 0)
        return count.integer(1, THRESHOLD, 1) if count else 1, window_s


def _window(value: Value) -> int:
    return int(value.duration(*ESCALATION_WINDOW_S, 1.0))
