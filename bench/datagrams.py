"""Sends datagrams inside a namespace, as fast as a process can or with rests; a program.

    datagrams.py ADDRESS FIRST_PORT PORTS SOCKETS COUNT PACED FILE

COUNT datagrams with the file's bytes, each to the next of PORTS ports from the next of SOCKETS
sockets, so that the flows are PORTS * SOCKETS. PACED: 1 to take a rest after every few.
Prints the seconds that it took.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

_BUFFER = 1 << 22
_PATIENCE_S = 120
_FEW, _REST_S = 20, 0.01
PORT = 9000  # discard would answer on some machines


def send(
    namespace: str,
    address: str,
    file: Path,
    count: int,
    *,
    ports: int = 1,
    sockets: int = 1,
    processes: int = 1,
    paced: bool = False,
) -> float:
    """Send `count` datagrams with the file's bytes from each process; seconds that it took.

    Raises:
        RuntimeError: a sender failed.
    """
    arguments = (
        address,
        str(PORT),
        str(ports),
        str(sockets),
        str(count),
        str(int(paced)),
        str(file),
    )
    command = ["nsenter", f"--net=/run/netns/{namespace}", sys.executable, "-I", "-S", __file__]
    senders = [
        subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    try:
        answers = [sender.communicate(timeout=_PATIENCE_S)[0] for sender in senders]
    finally:
        for sender in senders:
            sender.kill()
    if any(sender.returncode for sender in senders):
        raise RuntimeError(f"a sender of datagrams in {namespace} failed")
    return max(map(float, answers))


def _main(
    address: str, first: int, ports: int, sockets: int, count: int, paced: int, data: bytes
) -> float:
    senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(sockets)]
    for sender in senders:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    targets = [(address, first + number) for number in range(ports)]
    left = count
    start = time.monotonic()
    while left > 0:
        for sender in senders:
            for number, target in enumerate(targets[:left], left):
                sender.sendto(data, target)
                if paced and number % _FEW == 0:
                    time.sleep(_REST_S)
            left -= min(left, ports)
    return time.monotonic() - start


if __name__ == "__main__":
    where, *numbers, name = sys.argv[1:]
    first_port, port_count, socket_count, total, rests = map(int, numbers)
    payload = Path(name).read_bytes()
    print(_main(where, first_port, port_count, socket_count, total, rests, payload))
