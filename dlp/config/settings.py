"""The settings of one policy: what is a choice, not a list. Defaults are those of the model."""

from __future__ import annotations

from typing import TypeVar

from dlp.config.model import (
    ESCALATION_VERDICTS,
    ESCALATION_WINDOW_S,
    HOLD_TIMEOUT_MS,
    Escalation,
    Handling,
    InspectorDown,
    Loopback,
    OpenEnd,
    Policy,
)
from dlp.config.section import Section, Value
from dlp.config.source import Mapping
from dlp.model import Action, Mode

T = TypeVar("T")

_DEFAULT = Policy(name="")

_MODES = {mode.value: mode for mode in Mode}
_DOWN = {choice.value: choice for choice in InspectorDown}
_HANDLING = {choice.value: choice for choice in Handling}
_OPEN_END = {choice.value: choice for choice in OpenEnd}
_LOOPBACK = {choice.value: choice for choice in Loopback}
_UNINSPECTABLE = {"allow": Action.ALLOW, "alert": Action.ALERT, "drop": Action.DROP}
_OVER_BUDGET = {"drop": Action.DROP, "alert": Action.ALERT}
_HOLD_UDP = {"drop": Action.DROP, "mirror": Action.MIRROR}
_YES_NO = {"true": True, "false": False}
_QUARANTINE = {"quarantine": None}


def settings(section: Section) -> Policy:
    """A policy without name and lists, of which only the settings are meant."""
    mirror_down, hold_down = section.read(
        "on_inspector_down",
        _inspector_down,
        (_DEFAULT.on_inspector_down, _DEFAULT.on_hold_timeout),
    )
    return Policy(
        name="",
        mode=_choice(section, "mode", _MODES, _DEFAULT.mode),
        on_inspector_down=mirror_down,
        on_hold_timeout=hold_down,
        hold_timeout_ms=section.read("hold_timeout_ms", _hold_timeout, _DEFAULT.hold_timeout_ms),
        hold_udp=_choice(section, "hold_udp", _HOLD_UDP, _DEFAULT.hold_udp),
        open_end=_choice(section, "open_end", _OPEN_END, _DEFAULT.open_end),
        uninspectable=_choice(section, "uninspectable", _UNINSPECTABLE, _DEFAULT.uninspectable),
        unowned=_choice(section, "unowned", _HANDLING, _DEFAULT.unowned),
        urgent=_choice(section, "urgent", _HANDLING, _DEFAULT.urgent),
        mptcp=_choice(section, "mptcp", _HANDLING, _DEFAULT.mptcp),
        fragments=_choice(section, "fragments", _HANDLING, _DEFAULT.fragments),
        other_protocols=_choice(section, "other_protocols", _HANDLING, _DEFAULT.other_protocols),
        over_budget=_choice(section, "over_budget", _OVER_BUDGET, _DEFAULT.over_budget),
        on_overload=_choice(section, "on_overload", _DOWN, _DEFAULT.on_overload),
        loopback=_choice(section, "loopback", _LOOPBACK, _DEFAULT.loopback),
        kill=_choice(section, "kill", _YES_NO, _DEFAULT.kill),
        escalate=section.read("escalate", _escalation, _DEFAULT.escalate),
    )


def _choice(section: Section, name: str, allowed: dict[str, T], default: T) -> T:
    return section.read(name, lambda value: value.choice(allowed, default), default)


def _inspector_down(value: Value) -> tuple[InspectorDown, InspectorDown]:
    """For mirror rules and for hold rules; one word is for both."""
    if isinstance(value.node, Mapping) and (section := value.section()) is not None:
        with section:
            return (
                _choice(section, "mirror", _DOWN, _DEFAULT.on_inspector_down),
                _choice(section, "hold", _DOWN, _DEFAULT.on_hold_timeout),
            )
    word = value.choice(_DOWN, _DEFAULT.on_inspector_down)
    return word, word


def _hold_timeout(value: Value) -> int:
    return value.integer(*HOLD_TIMEOUT_MS, _DEFAULT.hold_timeout_ms)


def _escalation(value: Value) -> Escalation | None:
    section = value.section()
    if section is None:
        return None
    with section:
        verdicts = section.need("verdicts", "add how many, as `verdicts: 5`")
        window = section.need("window", "add in how long, as `window: 5m`")
        action = section.need("action", "add `action: quarantine`")
    if action is not None:
        action.choice(_QUARANTINE, None)
    if verdicts is None or window is None:
        return None
    return Escalation(
        verdicts=verdicts.integer(*ESCALATION_VERDICTS, 1),
        window_s=window.duration(*ESCALATION_WINDOW_S, 1.0),
    )
