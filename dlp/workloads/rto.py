"""What TCP does at a retransmission timeout, in one network namespace.

What is held leaves when TCP sends it again. Two settings of the namespace make that soon and whole:
`tcp_rto_min_us`, how soon it is sent, and `tcp_frto`, whether it is sent at all before what is new.
Both are lowered where something is held, and put back as they were. Blocking calls: they enter the
namespace for a moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dlp.errors import DlpError, KernelError
from dlp.workloads.netns import entered

# Below /proc/sys/net is the namespace of whoever opens it.
DIRECTORY = Path("/proc/sys/net/ipv4")


@dataclass(frozen=True, slots=True)
class Setting:
    """A number below net.ipv4 that a hold needs to be no more than `wanted`."""

    name: str
    wanted: int

    @property
    def path(self) -> Path:
        """Its file, of the namespace in which it is opened."""
        return DIRECTORY / self.name

    def lower(self, fd: int) -> int | None:
        """Lower it in the namespace `fd`; what it was before.

        None where nothing was changed: it is as low, or the kernel has no such setting.

        Raises:
            KernelError, PrivilegeError: the namespace cannot be entered, or it cannot be changed.
        """
        with entered(fd):
            before = self._read()
            if before is None or before <= self.wanted:
                return None
            self._write(self.wanted)
            return before

    def restore(self, fd: int, before: int) -> bool:
        """Put back what `lower` returned; False where somebody has changed it since, and it stays.

        Raises as `lower`.
        """
        with entered(fd):
            if self._read() != self.wanted:
                return False
            self._write(before)
            return True

    def _read(self) -> int | None:
        try:
            return int(self.path.read_text())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refused(error) from error

    def _write(self, value: int) -> None:
        try:
            self.path.write_text(str(value))
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> KernelError:
        return KernelError(
            f"{self.path}: {error.strerror}",
            remedy="check that /proc/sys/net is writable where the gateway runs; held segments"
            " wait longer without it",
        )


# The least time after which TCP sends again, in microseconds: kernel 6.11 on, 200 ms by default.
# Sockets take it over when they are made, so those that exist keep what they have. Lower, honest
# traffic is sent twice: an answer may take 40 ms by a delayed acknowledgement.
FLOOR = Setting("tcp_rto_min_us", 45_000)
# F-RTO (RFC 5682): once the first segment sent again is acknowledged, new data goes before the
# rest of what is missing, to see from the answer whether the timeout was spurious. What a hold
# took out is missing for certain, and beyond it nothing passes that could be answered: each such
# turn ends in another timeout. Sockets read it at each timeout (tcp_enter_loss), those that
# exist too.
FRTO = Setting("tcp_frto", 0)
SETTINGS = (FLOOR, FRTO)


def lower(fd: int, before: Mapping[str, int] | None = None) -> dict[str, int]:
    """Lower all that `before` does not name: those are lowered already, or are others' since.

    Returns what each was, by name, those of `before` among them. What the kernel refuses stays as
    it is: what is held waits longer then, and nothing is let out that would not be.
    """
    values = dict(before or {})
    for setting in SETTINGS:
        if setting.name not in values:
            try:
                found = setting.lower(fd)
            except DlpError:
                continue
            if found is not None:
                values[setting.name] = found
    return values


def restore(fd: int, before: Mapping[str, int]) -> None:
    """Put back what `lower` returned, as far as it is still as that left it.

    Raises:
        KernelError, PrivilegeError: as `Setting.lower`; the others are put back.
    """
    failed: list[DlpError] = []
    for setting in SETTINGS:
        if setting.name in before:
            try:
                setting.restore(fd, before[setting.name])
            except DlpError as error:
                failed.append(error)
    if failed:
        raise failed[0]
