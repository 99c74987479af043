"""Files that a command takes and makes: whole, or an error that says which."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from dlp.errors import UsageError


def read_file(path: Path, most: int = 64 << 20) -> bytes:
    """The content of a file. Raises UsageError."""
    try:
        with path.open("rb") as source:
            data = source.read(most + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > most:
        raise UsageError(f"{path} is larger than {most >> 20} MiB")
    return data


def write_file(path: Path, data: bytes, *, over: bool = False) -> None:
    """Write a file whole or not at all.

    Args:
        over: in place of the one that is there.

    Raises:
        UsageError: one is there, or it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(data)
        if over:
            temporary.replace(path)
        else:
            os.link(temporary, path)
    except FileExistsError as error:
        raise UsageError(f"{path} exists", remedy="choose another name, or remove it") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
