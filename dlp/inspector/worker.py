"""The matcher process: locked in, it reads records from one socket and answers with findings.

Started by dlp.inspector.client as `python -m dlp.inspector.worker FD`. What it reads was written by
an attacker, so it holds nothing worth taking but the rules and the key of the digests. It writes
nothing to standard error but one line of fixed form: never payload, never an exception's text.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections import OrderedDict
from collections.abc import Iterable

from dlp.errors import PackError
from dlp.inspector.matcher import Matcher
from dlp.inspector.messages import (
    MAX_FRAME,
    Begin,
    Done,
    Finding,
    FrameError,
    Key,
    Live,
    Message,
    Ping,
    Ready,
    Record,
    Refused,
    Rule,
    Settling,
    Stop,
    decode,
    encode,
)
from dlp.inspector.sandbox import MEMORY, enter
from dlp.signatures.validators import VALIDATORS

# How long a flow may be silent before a match at its end counts as ended.
QUIET_S = 0.2

EXIT_PROTOCOL = 2  # the gateway sent what this version does not understand
EXIT_CRASHED = 3


class Worker:
    """One connection to the gateway.

    Args:
        link: the worker's end of a SOCK_SEQPACKET pair.
        budget_s: CPU seconds that one record may cost; past them the kernel ends the process.
    """

    def __init__(self, link: socket.socket, *, budget_s: float) -> None:
        self._link = link
        # Not settimeout: it is an ioctl, which the sandbox refuses.
        self._poll = select.poll()
        self._poll.register(link, select.POLLIN)
        self._budget_s = budget_s
        self._rules: list[Rule] = []
        self._key = b""
        self._matcher: Matcher | None = None
        self._open: OrderedDict[int, float] = OrderedDict()  # flow with open matches: since when

    def run(self) -> None:
        """Serve until told to stop or until the gateway is gone. Raises FrameError."""
        while True:
            if self._poll.poll(self._pause_ms()):
                frame = self._link.recv(MAX_FRAME + 1)
                if not frame or not self._handle(decode(frame)):
                    return
            self._settle(time.monotonic() - QUIET_S)

    def _handle(self, message: Message) -> bool:
        """Carry out a message; False where it was the last."""
        match message:
            case Record():
                self._match(message)
            case Ping():
                self._send(Done(sequence=message.sequence))
            case Rule():
                self._rules.append(message)
            case Begin():
                self._begin(message)
            case Key():
                self._key = message.key
            case Stop():
                self._settle(time.monotonic())
                return False
            case _:
                raise FrameError("message that only a worker sends")
        return True

    def _begin(self, begin: Begin) -> None:
        rules, self._rules = self._rules, []
        if len(rules) != begin.rules or not self._key:
            raise FrameError("release with rules or key missing")
        try:
            if self._matcher is None:
                self._matcher = Matcher(rules, key=self._key, release=begin.release)
            else:
                self._matcher.replace(rules, begin.release)
        except PackError as error:
            self._send(Refused(begin.release, str(error)))
        else:
            self._send(Live(begin.release))

    def _match(self, record: Record) -> None:
        if self._matcher is None:
            raise FrameError("record before a release")
        word = None
        self._arm(self._budget_s)
        if record.held:
            findings, word = self._matcher.hold(record)
        else:
            findings = self._matcher.feed(record)
        self._arm(0)
        self._tell(findings)
        if word is not None:
            self._send(word)
        self._send(self._matcher.counts(record.sequence))
        self._open.pop(record.flow, None)
        # Of a held flow, what comes again decides, not silence.
        if not record.held and self._matcher.pending(record.flow):
            self._open[record.flow] = time.monotonic()

    def _settle(self, before: float) -> None:
        """Decide the open matches of flows that have been silent since `before`."""
        while self._matcher is not None and self._open:
            flow, since = next(iter(self._open.items()))
            if since > before:
                return
            del self._open[flow]
            # Said before: if this kills the process, the gateway must not blame another flow.
            self._send(Settling(flow, ended=False))
            self._arm(self._budget_s)
            findings = self._matcher.settle(flow)
            self._arm(0)
            self._tell(findings)
            self._send(Settling(flow, ended=True))

    def _pause_ms(self) -> float | None:
        """Milliseconds until the next flow has been silent for long enough."""
        if not self._open:
            return None
        since = next(iter(self._open.values()))
        return max(0.0, since + QUIET_S - time.monotonic()) * 1000

    @staticmethod
    def _arm(seconds: float) -> None:
        """Let the kernel end this process after so much CPU time; 0 disarms.

        A regex holds the interpreter for as long as it runs, so nothing in Python could. SIGPROF
        keeps its default action, and its number tells the gateway why.
        """
        signal.setitimer(signal.ITIMER_PROF, seconds)

    def _tell(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._send(finding)

    def _send(self, message: Message) -> None:
        self._link.sendall(encode(message))


def main(arguments: list[str]) -> int:
    """Lock in and serve. Arguments: descriptor of the socket, CPU seconds a record may cost."""
    # Ctrl-C reaches the whole group; the gateway ends this process when it is done with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = socket.socket(fileno=int(arguments[0]))
    _warm_up()
    locked = enter(link.fileno(), memory=MEMORY)
    link.sendall(encode(Ready(" ".join(locked.taken), " ".join(locked.missing))))
    Worker(link, budget_s=float(arguments[1])).run()
    return 0


def _warm_up() -> None:
    """Do once all that loads modules or files, since none can be opened later."""
    matcher = Matcher(
        [Rule(index=0, id="warm.up", regex=r"(?i)\bwarm[ -]?up\b", validator="luhn")],
        key=b"warm-up",
    )
    matcher.feed(Record(flow=0, offset=0, data=b"warm-up 0", final=True))
    matcher.replace([Rule(index=0, id="warm.up", regex=r"warm")], 1)
    matcher.feed(Record(flow=1, offset=0, data=b"warm", final=True))
    for validator in VALIDATORS.values():
        validator(b"4111111111111111")
    str(PackError("warm-up"))


def _exit_code(arguments: list[str]) -> int:
    """Run, and turn any end into a code and at most one line that holds no payload."""
    try:
        return main(arguments)
    except FrameError as error:
        # Its text is one of a few constants.
        _complain(f"protocol {error}")
        return EXIT_PROTOCOL
    except (BrokenPipeError, ConnectionResetError):
        return 0
    except Exception as error:  # noqa: BLE001 - its text could hold payload, its type cannot
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        line = 0 if trace is None else trace.tb_lineno
        _complain(f"crashed {type(error).__name__} line {line}")
        return EXIT_CRASHED


def _complain(line: str) -> None:
    os.write(2, f"inspector: {line}\n".encode())


if __name__ == "__main__":
    # Not sys.exit: winding the interpreter down wants files that are out of reach.
    os._exit(_exit_code(sys.argv[1:]))
