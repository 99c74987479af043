"""The kernel programs' source as one text.

bcc rewrites map calls only in the file it is given, so the headers that are included
with quotes are joined in where they are named; #line keeps diagnostics true.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

_INCLUDE = re.compile(r'^\s*#include\s+"([^"/]+)"\s*$')

MAIN = "egress.c"


def joined(directory: Path, main: str = MAIN) -> str:
    """The text of `main` with its quoted includes joined in, each file once."""
    seen: set[str] = set()

    def expand(name: str) -> list[str]:
        if name in seen:
            return []
        seen.add(name)
        lines = [f'#line 1 "{name}"']
        for number, line in enumerate((directory / name).read_text().splitlines(), 1):
            found = _INCLUDE.match(line)
            if found:
                lines += expand(found.group(1))
                lines.append(f'#line {number + 1} "{name}"')
            else:
                lines.append(line)
        return lines

    return "\n".join(expand(main)) + "\n"


def digest(text: str) -> str:
    """Names a build: programs pinned under another digest are not compatible."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# The structs whose layout decides whether flows can be handed on to another build.
_STATE_STRUCTS = (
    "dlp_flow_key",
    "dlp_flow",
    "dlp_counted",
    "dlp_seen_key",
    "dlp_window_key",
    "dlp_window",
    "dlp_counters",
    "dlp_who",
    "dlp_word",
    "dlp_block",
    "dlp_guard",
)
_STATE_MAPS = (
    r"^BPF_\w*(?:TABLE|ARRAY|STORAGE)\(.*"
    r"\b(?:flows|sockets|seen|windows|words|blocked|counters|workloads|guards|admitted)\b.*"
)


def state_digest(text: str) -> str:
    """Digest of the layout of what flows remember: those structs, and the sizes in them."""
    parts = [
        found.group(0)
        for name in _STATE_STRUCTS
        if (found := re.search(rf"struct {name} \{{.*?\n\}};", text, re.DOTALL))
    ]
    limits = "TAIL|COUNTED|REASONS|WORKLOADS|WINDOW"
    parts += re.findall(rf"^#define DLP_(?:{limits}) \d+", text, re.MULTILINE)
    parts += re.findall(_STATE_MAPS, text, re.MULTILINE)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
