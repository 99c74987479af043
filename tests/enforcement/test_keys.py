"""The number by which the kernel programs know a namespace."""

import pytest

from dlp.datapath.abi import WORKLOADS
from dlp.enforcement.keys import KeyRing, inode_of, slot_of
from dlp.errors import KernelError


def test_key_names_inode_and_slot():
    """Both can be read from the key."""
    key, _ = KeyRing().key(4026532999)

    assert 4026532999 == inode_of(key)
    assert 1 == slot_of(key)


def test_slot_zero_is_nobodys():
    """A packet counts there before its entry has named it."""
    ring = KeyRing()

    assert 0 not in {slot_of(ring.key(inode)[0]) for inode in range(1, 100)}


def test_same_namespace_same_key():
    """Asked again, the key is the same, and not new."""
    ring = KeyRing()
    first = ring.key(7)

    assert (first[0], True) == first
    assert (first[0], False) == ring.key(7)


def test_no_two_share_a_slot():
    """Counters of two namespaces are never mixed."""
    ring = KeyRing()
    slots = [slot_of(ring.key(inode)[0]) for inode in range(1, WORKLOADS)]

    assert WORKLOADS - 1 == len(set(slots))


def test_all_slots_taken():
    """One more is an error that says what to do."""
    ring = KeyRing()
    for inode in range(1, WORKLOADS):
        ring.key(inode)
    with pytest.raises(KernelError) as raised:
        ring.key(WORKLOADS)

    assert f"all {WORKLOADS - 1} workload slots are taken" == raised.value.message
    assert "fewer namespaces" in raised.value.remedy


def test_released_slot_is_given_again():
    """Once all others have been given: the slots go round."""
    ring = KeyRing()
    for inode in range(1, WORKLOADS):
        ring.key(inode)
    ring.release(2)

    assert 2 == slot_of(ring.key(5000)[0])


def test_inode_used_anew():
    """A namespace with the inode of one that is gone has another key, also after a restart."""
    ring = KeyRing()
    first, _ = ring.key(7)
    ring.release(7)
    second, fresh = ring.key(7)
    restarted = KeyRing([second])
    restarted.release(7)
    third, _ = restarted.key(7)

    assert fresh
    assert 3 == len({first, second, third})


def test_releasing_what_is_not_known():
    """No error: a namespace may go before it was controlled."""
    KeyRing().release(5)


def test_keys_of_an_earlier_process():
    """They are taken over, and their slots not given to others."""
    first = KeyRing()
    known = [first.key(inode)[0] for inode in (5, 6)]
    second = KeyRing(known)

    assert (known[1], False) == second.key(6)
    assert 3 == slot_of(second.key(7)[0])
    assert {5: known[0], 6: known[1], 7: second.key(7)[0]} == second.known()
