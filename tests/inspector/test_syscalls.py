import struct

import pytest

from dlp.inspector import syscalls

ALLOW, EPERM, KILL = 0x7FFF0000, 0x00050001, 0x80000000
X86_64, AARCH64, I386 = 0xC000003E, 0xC00000B7, 0x40000003


def judge(code, number, architecture, third=0):
    """What the kernel would answer: the few instructions of classic BPF that are used."""
    data = struct.pack("<iIQ6Q", number, architecture, 0, 0, 0, third, 0, 0, 0)
    program = list(struct.iter_unpack("=HBBI", code))
    accumulator, at = 0, 0
    while True:
        operation, if_true, if_false, value = program[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x06:
            return value
        else:
            hit = accumulator == value if operation == 0x15 else bool(accumulator & value)
            at += if_true if hit else if_false


MACHINES = [
    ("x86_64", X86_64, {"recvfrom": 45, "openat": 257, "mmap": 9, "mprotect": 10}),
    ("aarch64", AARCH64, {"recvfrom": 207, "openat": 56, "mmap": 222, "mprotect": 226}),
]


@pytest.mark.parametrize(("machine", "architecture", "numbers"), MACHINES)
def test_listed_calls_pass(machine, architecture, numbers):
    """A call on the list is allowed, another one fails, on either machine."""
    code = syscalls.program(machine)

    assert ALLOW == judge(code, numbers["recvfrom"], architecture)
    assert EPERM == judge(code, numbers["openat"], architecture)


@pytest.mark.parametrize(("machine", "architecture", "numbers"), MACHINES)
def test_executable_memory_is_refused(machine, architecture, numbers):
    """Memory may be mapped and changed, not made executable."""
    code = syscalls.program(machine)

    for name in ("mmap", "mprotect"):
        assert ALLOW == judge(code, numbers[name], architecture, 3)
        assert EPERM == judge(code, numbers[name], architecture, 5)


@pytest.mark.parametrize(("machine", "architecture", "numbers"), MACHINES)
def test_only_listed_numbers_pass(machine, architecture, numbers):
    """Of all numbers, those of the x32 interface too, only the listed ones are allowed."""
    code = syscalls.program(machine)
    allowed = [
        number
        for number in (*range(1024), *range(0x40000000, 0x40000400))
        if judge(code, number, architecture) == ALLOW
    ]

    assert 25 <= len(allowed) <= 30
    assert max(allowed) < 1024


def test_foreign_architecture_ends_the_process():
    """A 32-bit call on a 64-bit machine, whose numbers mean other calls, is fatal."""
    assert KILL == judge(syscalls.program("x86_64"), 3, I386)


def test_unknown_machine_has_no_program():
    """Where the numbers are not known, there is no filter rather than a wrong one."""
    assert syscalls.program("riscv64") is None
