"""A running gateway that takes releases: made and signed here, uploaded and activated by its API.

The daemon is the product's own, in namespaces and a state directory of its own; it keeps
compiled sets in a directory that only it sees, so that one never compiled is really compiled.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench import namespaces, startup
from bench.namespaces import BenchError
from dlp.releases import archive, keys, metadata, trust

THRESHOLD = 2  # signatures that a release needs
_EXPIRES = timedelta(days=9)
_PATIENCE_S = 300.0
_MEDIA = "application/vnd.dlp.release"
_LOADED = re.compile(r"event='loaded' .*write_ms=(?P<write>[\d.]+) switch_ms=(?P<switch>[\d.]+)")
_CONFIG = """\
version: 1
state_dir: {directory}/state
api: {{unix: {directory}/api.sock}}
signatures: [pci]
releases: {{trust: root.json}}
workloads: {{netns: [{netns}]}}
policies:
  - name: default
    match: {{}}
    rules:
      - {{signatures: ["pci.*"], action: drop}}
      - {{signatures: ["*"], action: alert}}
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What the daemon says of one load of the kernel's tables: milliseconds."""

    write_ms: float
    switch_ms: float


class Gateway:
    """The daemon with its keys. Raises BenchError where it refuses."""

    def __init__(
        self, directory: Path, home: int, pid: int, signers: Sequence[keys.PrivateKey]
    ) -> None:
        self._socket = directory / "api.sock"
        self._log = (directory / "dlp.log").open()
        self._home = home
        self._pid = pid
        self._signers = signers
        self._expires = datetime.now(UTC) + _EXPIRES

    def made(self, version: int, packs: Mapping[str, bytes]) -> bytes:
        """A release of packs by name, signed by as many keys as it needs."""
        release = metadata.create(packs, version=version, expires=self._expires)
        for signer in self._signers:
            trust.sign(release, signer)
        return archive.write([], release.to_bytes(), packs)

    def upload(self, raw: bytes) -> float:
        """Have a release verified and compiled; seconds."""
        began = time.monotonic()
        answer = self._asked("releases", raw, _MEDIA)
        if answer["state"] != "compiled":
            raise BenchError(f"release {answer['version']} is {answer['state']}, not compiled")
        return time.monotonic() - began

    def activate(self, version: int) -> float:
        """Make it live; seconds."""
        began = time.monotonic()
        answer = self._asked(f"releases/{version}/activate", b"{}", "application/json")
        if answer["state"] != "live":
            raise BenchError(f"release {version} is {answer['state']}, not live")
        return time.monotonic() - began

    def loads(self) -> list[Load]:
        """The loads since this was asked last, as the daemon's log tells them."""
        return [
            Load(float(found["write"]), float(found["switch"]))
            for found in _LOADED.finditer(self._log.read())
        ]

    def processor_s(self) -> float:
        """Processor time of the daemon and of its children that have ended."""
        told = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, told[11:15])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self._log.close()

    def forget_compiled(self) -> None:
        """Nothing that was compiled is kept: the next set is compiled from its text."""
        command = ["nsenter", f"--mount=/proc/{self._home}/ns/mnt", "--"]
        namespaces.run(*command, "find", str(startup.IMAGES), "-type", "f", "-delete")

    def _asked(self, path: str, body: bytes, media: str) -> dict[str, Any]:
        connection = _Connection(self._socket)
        try:
            headers = {"Content-Type": media}
            connection.request("POST", f"/api/v1/{path}", body, headers)
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise BenchError(f"{path}: {answer.get('detail', response.status)}")
        return answer


def trusted(signers: Sequence[keys.PrivateKey]) -> trust.Trust:
    """A trust in these keys, signed."""
    public = [signer.public for signer in signers]
    expires = datetime.now(UTC) + _EXPIRES
    root = trust.create(public, public, root_threshold=1, threshold=THRESHOLD, expires=expires)
    trust.sign(root, signers[0])
    return root


@contextmanager
def gateway(directory: Path, netns: str) -> Iterator[Gateway]:
    """A daemon that guards one namespace; `directory` is empty and the caller's."""
    signers = [keys.generate() for _ in range(THRESHOLD)]
    (directory / "root.json").write_bytes(trusted(signers).to_bytes())
    config = directory / "dlp.yaml"
    config.write_text(_CONFIG.format(directory=directory, netns=netns))
    with (
        startup.private_state(images=True) as home,
        startup.daemon(home, config) as (process, _),
        closing(Gateway(directory, home, process.pid, signers)) as running,
    ):
        yield running


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("gateway", timeout=_PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
