"""Until when: `90d`, `12h`, or a day as 2027-01-31."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from dlp.errors import UsageError

Expires = Annotated[
    str, typer.Option("--expires", help="In 90d, 12h, or on 2027-01-31 (UTC).", metavar="WHEN")
]

_SPAN = re.compile(r"([1-9][0-9]{0,4})([dh])")
_HOURS = {"d": 24, "h": 1}


def expiry(text: str, now: datetime | None = None) -> datetime:
    """The moment; a day is over when the next one begins.

    Raises:
        UsageError: it is none, or it has passed.
    """
    moment = now or datetime.now(UTC)
    remedy = "write it as 90d, 12h or 2027-01-31"
    if found := _SPAN.fullmatch(text):
        return moment + timedelta(hours=int(found[1]) * _HOURS[found[2]])
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise UsageError("--expires is no duration and no day", remedy=remedy) from error
    end = day + timedelta(days=1) - timedelta(seconds=1)
    if end <= moment:
        raise UsageError("--expires has passed", remedy=remedy)
    return end
