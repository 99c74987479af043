"""The project's exceptions: one shallow tree, drawn here.

    DlpError                    anything the user is told of; exit code 3
    ├── UsageError              a command line that cannot be carried out; 2
    ├── ConfigError             configuration file; 2
    ├── PackError               signature pack or its samples; 2
    ├── PrivilegeError          not root, or a capability is missing; 3
    ├── MissingDependency       bcc, libbpf, headers, kernel feature; 3
    │   └── MissingHeaders
    ├── KernelError             a load, map or attach the kernel refused; 3
    ├── StoreError              the database; 3
    ├── ReleaseError            a signed release, a trust or a key that is refused; 2
    ├── ConflictError           not possible in the present state of a release; 2
    └── ApiError                the gateway's API could not be reached or refused; 4

Exit codes: 0 all is well, 1 something was found, 2 usage or configuration, 3 environment,
4 gateway not reachable. Each error carries what happened and, apart from it, what to do
next. A new class is made only where a caller branches on it. No message ever holds payload.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file an error lies: 1-based line, dotted key path."""

    file: Path
    line: int | None = None
    key: str = ""

    def __str__(self) -> str:
        text = str(self.file)
        if self.line is not None:
            text += f":{self.line}"
        if self.key:
            text += f": {self.key}"
        return text


class DlpError(Exception):
    """Base of all errors shown to a user.

    Args:
        message: what happened, one sentence, without payload.
        remedy: what to do next; empty where nothing can be advised.
        place: the file, line and key, where a file is at fault.
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, remedy: str = "", place: Place | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.place = place

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return f"{text} ({self.remedy})" if self.remedy else text


class UsageError(DlpError):
    exit_code = 2


class ConfigError(DlpError):
    exit_code = 2


class PackError(DlpError):
    exit_code = 2


class PrivilegeError(DlpError):
    exit_code = 3


class MissingDependency(DlpError):
    exit_code = 3


class MissingHeaders(MissingDependency):
    pass


class KernelError(DlpError):
    exit_code = 3


class StoreError(DlpError):
    exit_code = 3


class ReleaseError(DlpError):
    """Refused for good: the same bytes will be refused again.

    Args:
        reason: one word for programs, as `expired` or `threshold`; `other` where none fits.
    """

    exit_code = 2

    def __init__(
        self, message: str, *, reason: str = "other", remedy: str = "", place: Place | None = None
    ) -> None:
        super().__init__(message, remedy=remedy, place=place)
        self.reason = reason


class ConflictError(DlpError):
    """Not now; `state` is that of the release asked for, empty where there is none."""

    exit_code = 2

    def __init__(self, message: str, *, state: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.state = state


class ApiError(DlpError):
    exit_code = 4
