"""How a verdict lies in its table: columns, conversions, the filters of a query.

Pure: values in, SQL and values out. No connection, no raw matched bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dlp.errors import StoreError, UsageError
from dlp.model import Action, DecidedBy, Endpoint, Mode, Verdict
from dlp.service import VerdictQuery

LIMIT = 1000
LAST_CHARACTER = "\U0010ffff"

COLUMNS = (
    "time",
    "kind",
    "workload",
    "cgroup",
    "cgroup_path",
    "flow",
    "protocol",
    "source_address",
    "source_port",
    "destination_address",
    "destination_port",
    "signature",
    "severity",
    "policy",
    "rule",
    "action",
    "mode",
    "enforced",
    "decided",
    "masked",
    "digest",
    "offset",
    "length",
    "sent_before",
    "let_out",
    "count",
    "release",
    "detail",
)

_NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
INSERT = f"INSERT INTO verdict ({_NAMES}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - names above
SELECT = f"SELECT id, {_NAMES} FROM verdict"  # noqa: S608 - as above

Value = str | int | float


def signed(number: int) -> int:
    """A 64-bit unsigned number as SQLite holds it: two's complement."""
    return number - (1 << 64) if number >> 63 else number


def unsigned(number: int) -> int:
    """The inverse of signed."""
    return number & 0xFFFF_FFFF_FFFF_FFFF


def text(value: str) -> str:
    """As UTF-8 can hold it: a verdict is not lost for a lone surrogate in a name."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def to_row(verdict: Verdict) -> tuple[Value, ...]:
    """Values in the order of COLUMNS."""
    return (
        verdict.time,
        text(verdict.kind),
        text(verdict.workload),
        signed(verdict.cgroup),
        text(verdict.cgroup_path),
        signed(verdict.flow),
        text(verdict.protocol),
        text(verdict.source.address),
        verdict.source.port,
        text(verdict.destination.address),
        verdict.destination.port,
        text(verdict.signature),
        text(verdict.severity),
        text(verdict.policy),
        verdict.rule,
        int(verdict.action),
        verdict.mode.value,
        int(verdict.enforced),
        verdict.decided.value,
        text(verdict.masked),
        text(verdict.digest),
        signed(verdict.offset),
        signed(verdict.length),
        signed(verdict.sent_before),
        signed(verdict.let_out),
        verdict.count,
        verdict.release,
        text(verdict.detail),
    )


def from_row(row: Sequence[Value]) -> Verdict:
    """Of a row of SELECT.

    Raises:
        StoreError: it holds an action or an origin that this release does not know.
    """
    value: dict[str, Any] = dict(zip(("id", *COLUMNS), row, strict=True))
    source = Endpoint(address=value.pop("source_address"), port=value.pop("source_port"))
    destination = Endpoint(
        address=value.pop("destination_address"), port=value.pop("destination_port")
    )
    for name in ("cgroup", "flow", "offset", "length", "sent_before", "let_out"):
        value[name] = unsigned(value[name])
    try:
        action = Action(value.pop("action"))
        decided = DecidedBy(value.pop("decided"))
        mode = Mode(value.pop("mode"))
    except ValueError as error:
        raise StoreError(f"verdict {value['id']} holds what this release does not know") from error
    enforced = bool(value.pop("enforced"))
    return Verdict(
        source=source,
        destination=destination,
        action=action,
        decided=decided,
        mode=mode,
        enforced=enforced,
        **value,
    )


def select(query: VerdictQuery) -> tuple[str, list[Value]]:
    """Statement and parameters of a listing, newest first.

    `signature` may end in `*`: all that begin with what stands before it. Each condition
    is one index range; there is no pattern whose cost the caller could drive up.

    Raises:
        UsageError: no such action.
    """
    conditions = list(_conditions(query))
    where = " AND ".join(condition for condition, _ in conditions) or "TRUE"
    values = [value for _, value in conditions]
    # Ids first: an index alone finds them, and whole rows are read for one page only.
    page = f"SELECT id FROM verdict WHERE {where} ORDER BY id DESC LIMIT ?"  # noqa: S608 - as above
    return f"{SELECT} WHERE id IN ({page}) ORDER BY id DESC", [*values, capped(query.limit)]


def capped(limit: int) -> int:
    """SQLite takes a negative limit for none at all."""
    return max(0, min(limit, LIMIT))


def _conditions(query: VerdictQuery) -> Iterator[tuple[str, Value]]:
    if query.workload is not None:
        yield "workload = ?", text(query.workload)
    if query.severity is not None:
        yield "severity = ?", text(query.severity)
    if query.kind is not None:
        yield "kind = ?", text(query.kind)
    if query.signature is not None:
        yield from _signature(text(query.signature))
    if query.action is not None:
        yield "action = ?", _action(query.action)
    if query.flow is not None:
        yield "flow = ?", signed(query.flow)
    if query.since is not None:
        yield "time >= ?", query.since
    if query.until is not None:
        yield "time <= ?", query.until
    if query.before_id is not None:
        yield "id < ?", query.before_id


def _signature(wanted: str) -> Iterator[tuple[str, Value]]:
    if not wanted.endswith("*"):
        yield "signature = ?", wanted
        return
    prefix = wanted[:-1]
    yield "signature >= ?", prefix
    yield "signature < ?", prefix + LAST_CHARACTER


def _action(label: str) -> int:
    try:
        return int(Action[label.upper()])
    except KeyError as error:
        known = ", ".join(action.label for action in Action)
        raise UsageError("no such action", remedy=f"one of {known}") from error
