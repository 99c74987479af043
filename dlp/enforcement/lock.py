"""One gateway a host: a lock that ends with the process that holds it.

The kernel side is one for the host, so a second gateway must not touch it before it
knows that it is alone; nor must anybody take the classifiers off under a running one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from dlp.errors import KernelError

FILE = Path("/run/dlp/lock")


@contextlib.contextmanager
def alone(path: Path = FILE) -> Iterator[None]:
    """Hold the lock for as long as the block runs.

    Raises:
        KernelError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise KernelError(
                "a gateway runs on this host already",
                remedy="stop it first; `dlp status` shows it, `dlp reload` changes what it does",
            ) from error
        yield
    finally:
        os.close(fd)
