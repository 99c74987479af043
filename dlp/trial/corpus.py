"""Ordinary bytes to profile on where an author has no traffic at hand: always the same.

Source text is that of Python's own library, which every host has; the rest is made with a fixed
seed: JSON records full of numbers, a server's log, base64.
"""

from __future__ import annotations

import argparse
import base64
import email.message
import json
import random
import socket
import subprocess
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

from dlp.trial.engine import Stream

SIZE: Final = 128 << 10  # bytes of each kind
_SEED: Final = 20_240_601
_MODULES: Final[tuple[ModuleType, ...]] = (typing, argparse, subprocess, socket, email.message)
_PATHS: Final = ("/", "/login", "/api/v1/orders", "/static/app.js", "/images/logo.png", "/search")
_AGENTS: Final = ("curl/8.5.0", "Mozilla/5.0 (X11; Linux x86_64)", "kube-probe/1.29")


def corpus() -> tuple[Stream, ...]:
    """One stream for each kind of text."""
    rng = random.Random(_SEED)  # noqa: S311 - sample text, no cryptography
    return tuple(
        Stream((_filled(lines),)) for lines in (_source(), _records(rng), _log(rng), _encoded(rng))
    )


def _filled(lines: Iterator[bytes]) -> bytes:
    pieces, size = [], 0
    for line in lines:
        pieces.append(line)
        size += len(line)
        if size >= SIZE:
            break
    return b"".join(pieces)[:SIZE]


def _source() -> Iterator[bytes]:
    for module in _MODULES:
        if module.__file__:
            yield Path(module.__file__).read_bytes()


def _records(rng: random.Random) -> Iterator[bytes]:
    while True:
        record = {
            "id": rng.randrange(10 ** rng.randint(3, 12)),
            "uuid": str(rng.getrandbits(128)),
            "created": f"2024-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T10:07:33.120Z",
            "epoch_ms": rng.randint(1_600_000_000_000, 1_800_000_000_000),
            "total": rng.randrange(10**6) / 100,
            "position": [round(rng.uniform(-180, 180), 6), round(rng.uniform(-90, 90), 6)],
            "version": f"{rng.randint(0, 9)}.{rng.randint(0, 40)}.{rng.randint(0, 99)}",
            "name": rng.choice(("item", "order", "user", "session")),
            "digest": f"{rng.getrandbits(160):040x}",
        }
        yield json.dumps(record).encode() + b"\n"


def _log(rng: random.Random) -> Iterator[bytes]:
    while True:
        address = ".".join(str(rng.randint(1, 254)) for _ in range(4))
        clock = f"{rng.randint(1, 28):02}/Jun/2024:{rng.randint(0, 23):02}:07:33 +0000"
        line = (
            f'{address} - - [{clock}] "GET {rng.choice(_PATHS)} HTTP/1.1" '
            f'{rng.choice((200, 304, 404))} {rng.randrange(10**6)} "-" "{rng.choice(_AGENTS)}"\n'
        )
        yield line.encode()


def _encoded(rng: random.Random) -> Iterator[bytes]:
    while True:
        yield base64.b64encode(rng.randbytes(57)) + b"\n"
