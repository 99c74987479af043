"""The type information that the kernel wants of a socket storage map, and no more.

A map of that kind is refused without BTF for its key (a 32-bit integer) and its value (any
type of its size). Documentation/bpf/btf.rst of the kernel has the format; integers are in
host order.
"""

from __future__ import annotations

import struct

_MAGIC = 0xEB9F
_HEADER = struct.Struct("=HBBIIIII")
_INT = struct.Struct("=IIII")
_ARRAY = struct.Struct("=IIIIII")
_KIND_INT = 1
_KIND_ARRAY = 3
_STRINGS = b"\0u32\0u8\0"

KEY_TYPE = 1
VALUE_TYPE = 3


def storage_types(size: int) -> bytes:
    """Type 1 is a 32-bit integer, type 3 an array of `size` bytes."""
    types = b"".join(
        (
            _INT.pack(1, _KIND_INT << 24, 4, 32),
            _INT.pack(5, _KIND_INT << 24, 1, 8),
            _ARRAY.pack(0, _KIND_ARRAY << 24, 0, 2, KEY_TYPE, size),
        )
    )
    header = _HEADER.pack(_MAGIC, 1, 0, _HEADER.size, 0, len(types), len(types), len(_STRINGS))
    return header + types + _STRINGS
