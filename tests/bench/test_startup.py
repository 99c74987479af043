"""Reading netlink datagrams and process memory."""

import os
import struct

from bench import startup


def test_every_message_of_a_datagram_is_seen():
    """Lengths are padded to four bytes."""
    link = struct.pack("<IHHII", 18, 16, 0, 0, 0) + b"xx" + b"\0\0"
    chain = struct.pack("<IHHII", 16, 44, 0, 0, 0)

    assert {16, 44} == startup._kinds(link + chain)


def test_a_lying_length_ends():
    """A message that says it is empty does not hold the reader for ever."""
    assert {16} == startup._kinds(struct.pack("<IHHII", 0, 16, 0, 0, 0))


def test_memory_of_this_process_is_plausible():
    """The share is part of what is resident, both in megabytes."""
    resident, share = startup._memory(os.getpid())

    assert 1 < share <= resident < 4000


def test_a_process_that_has_gone_has_no_memory():
    """A child may end between being listed and being read."""
    assert (0.0, 0.0) == startup._memory(2**22 + 1)
