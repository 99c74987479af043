"""A thin layer over libbpf.so.1 (Debian package libbpf1): maps, pins, programs, test runs.

The daemon uses this and not bcc, so that it neither compiles nor carries a compiler.
Keys and values are ctypes objects or bytes of the map's exact size. Every failure is a
KernelError that names the operation and the kernel's reason.
"""

from __future__ import annotations

import ctypes as ct
import errno
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlp.datapath import btf
from dlp.datapath.objects import MapSpec
from dlp.errors import KernelError, MissingDependency

_LIBRARY = "libbpf.so.1"
_SCHED_CLS = 3
_CGROUP_SKB = 8
_SK_STORAGE = 24
_NO_PREALLOC = 1
_CGROUP_INET_EGRESS = 1
_NAME_LENGTH = 15
RECORDS = 1024  # of a ring buffer, taken at once
_ENOUGH = -125  # ECANCELED: what our callback ends a reading with
_LOG_SIZE = (1 << 24) - 1
_LOG_LINES = 12
_BATCH = 4096  # entries read at once; more than a bucket of a hash holds
_POSSIBLE = Path("/sys/devices/system/cpu/possible")


class _TestRunOpts(ct.Structure):
    _fields_ = [
        ("sz", ct.c_size_t),
        ("data_in", ct.c_void_p),
        ("data_out", ct.c_void_p),
        ("data_size_in", ct.c_uint32),
        ("data_size_out", ct.c_uint32),
        ("ctx_in", ct.c_void_p),
        ("ctx_out", ct.c_void_p),
        ("ctx_size_in", ct.c_uint32),
        ("ctx_size_out", ct.c_uint32),
        ("retval", ct.c_uint32),
        ("repeat", ct.c_int),
        ("duration", ct.c_uint32),
        ("flags", ct.c_uint32),
        ("cpu", ct.c_uint32),
        ("batch_size", ct.c_uint32),
    ]


class _MapCreateOpts(ct.Structure):
    """The head of struct bpf_map_create_opts (libbpf 1.0), up to map_flags."""

    _fields_ = [
        ("sz", ct.c_size_t),
        ("btf_fd", ct.c_uint32),
        ("btf_key_type_id", ct.c_uint32),
        ("btf_value_type_id", ct.c_uint32),
        ("btf_vmlinux_value_type_id", ct.c_uint32),
        ("inner_map_fd", ct.c_uint32),
        ("map_flags", ct.c_uint32),
    ]


class _ProgLoadOpts(ct.Structure):
    """The head of struct bpf_prog_load_opts (libbpf 1.0), up to log_buf."""

    _fields_ = [
        ("sz", ct.c_size_t),
        ("attempts", ct.c_int),
        ("expected_attach_type", ct.c_int),
        ("prog_btf_fd", ct.c_uint32),
        ("prog_flags", ct.c_uint32),
        ("prog_ifindex", ct.c_uint32),
        ("kern_version", ct.c_uint32),
        ("attach_btf_id", ct.c_uint32),
        ("attach_prog_fd", ct.c_uint32),
        ("attach_btf_obj_fd", ct.c_uint32),
        ("fd_array", ct.c_void_p),
        ("func_info", ct.c_void_p),
        ("func_info_cnt", ct.c_uint32),
        ("func_info_rec_size", ct.c_uint32),
        ("line_info", ct.c_void_p),
        ("line_info_cnt", ct.c_uint32),
        ("line_info_rec_size", ct.c_uint32),
        ("log_level", ct.c_uint32),
        ("log_size", ct.c_uint32),
        ("log_buf", ct.c_void_p),
    ]


class _ProgInfo(ct.Structure):
    """The head of struct bpf_prog_info (include/uapi/linux/bpf.h), up to verified_insns."""

    _fields_ = [
        ("type", ct.c_uint32),
        ("id", ct.c_uint32),
        ("tag", ct.c_uint8 * 8),
        ("jited_prog_len", ct.c_uint32),
        ("xlated_prog_len", ct.c_uint32),
        ("pointers", ct.c_uint64 * 2),
        ("load_time", ct.c_uint64),
        ("created_by_uid", ct.c_uint32),
        ("nr_map_ids", ct.c_uint32),
        ("map_ids", ct.c_uint64),
        ("name", ct.c_char * 16),
        ("ifindex", ct.c_uint32),
        ("gpl_compatible", ct.c_uint32),
        ("netns", ct.c_uint64 * 2),
        ("nr_jited_ksyms", ct.c_uint32),
        ("nr_jited_func_lens", ct.c_uint32),
        ("jited", ct.c_uint64 * 2),
        ("btf_id", ct.c_uint32),
        ("func_info_rec_size", ct.c_uint32),
        ("func_info", ct.c_uint64),
        ("nr_func_info", ct.c_uint32),
        ("nr_line_info", ct.c_uint32),
        ("line_info", ct.c_uint64),
        ("jited_line_info", ct.c_uint64),
        ("nr_jited_line_info", ct.c_uint32),
        ("line_info_rec_size", ct.c_uint32),
        ("jited_line_info_rec_size", ct.c_uint32),
        ("nr_prog_tags", ct.c_uint32),
        ("prog_tags", ct.c_uint64),
        ("run_time_ns", ct.c_uint64),
        ("run_cnt", ct.c_uint64),
        ("recursion_misses", ct.c_uint64),
        ("verified_insns", ct.c_uint32),
        ("attach", ct.c_uint32 * 3),
    ]


_SAMPLE = ct.CFUNCTYPE(ct.c_int, ct.c_void_p, ct.c_void_p, ct.c_size_t)
_PRINT = ct.CFUNCTYPE(ct.c_int, ct.c_int, ct.c_char_p, ct.c_void_p)


_silent = _PRINT(lambda _level, _format, _arguments: 0)


@functools.cache
def _lib() -> ct.CDLL:
    try:
        lib = ct.CDLL(_LIBRARY, use_errno=True)
    except OSError as error:
        raise MissingDependency(
            f"{_LIBRARY} cannot be loaded", remedy="apt-get install libbpf1"
        ) from error
    fd, text, data = ct.c_int, ct.c_char_p, ct.c_void_p
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "bpf_obj_pin": (ct.c_int, [fd, text]),
        "bpf_obj_get": (ct.c_int, [text]),
        "bpf_obj_get_info_by_fd": (ct.c_int, [fd, data, data]),
        "bpf_map_update_elem": (ct.c_int, [fd, data, data, ct.c_uint64]),
        "bpf_map_lookup_elem": (ct.c_int, [fd, data, data]),
        "bpf_map_delete_elem": (ct.c_int, [fd, data]),
        "bpf_map_get_next_key": (ct.c_int, [fd, data, data]),
        "bpf_map_update_batch": (ct.c_int, [fd, data, data, data, data]),
        "bpf_map_delete_batch": (ct.c_int, [fd, data, data, data]),
        "bpf_map_lookup_batch": (ct.c_int, [fd, data, data, data, data, data, data]),
        "bpf_map_create": (
            ct.c_int,
            [ct.c_int, text, ct.c_uint32, ct.c_uint32, ct.c_uint32, data],
        ),
        "bpf_btf_load": (ct.c_int, [data, ct.c_size_t, data]),
        "bpf_prog_load": (ct.c_int, [ct.c_int, text, text, data, ct.c_size_t, data]),
        "bpf_prog_test_run_opts": (ct.c_int, [fd, data]),
        "bpf_enable_stats": (ct.c_int, [ct.c_int]),
        "ring_buffer__new": (data, [fd, _SAMPLE, data, data]),
        "ring_buffer__free": (None, [data]),
        "ring_buffer__consume": (ct.c_int, [data]),
        "ring_buffer__epoll_fd": (ct.c_int, [data]),
        "libbpf_set_print": (data, [_PRINT]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    lib.libbpf_set_print(_silent)
    return lib


def _check(result: int, doing: str) -> int:
    if result >= 0:
        return result
    number = ct.get_errno() or -result
    raise KernelError(f"{doing}: {os.strerror(number)}", remedy="see `dlp doctor`")


def pin(fd: int, path: Path) -> None:
    """Keep a map or program alive as a file of bpffs."""
    _check(_lib().bpf_obj_pin(fd, os.fsencode(path)), f"pinning {path}")


def open_pin(path: Path) -> int:
    """A new file descriptor of what is pinned at `path`."""
    return _check(_lib().bpf_obj_get(os.fsencode(path)), f"opening the pin {path}")


@functools.cache
def possible_cpus() -> int:
    """How many values a per-CPU map holds for a key."""
    last = _POSSIBLE.read_text().strip().replace(",", "-").rsplit("-", 1)[-1]
    return int(last) + 1


@dataclass(frozen=True, slots=True)
class Map:
    """A BPF map by file descriptor; `key` and `value` are the ctypes of one element."""

    name: str
    fd: int
    key: type[Any]
    value: type[Any]

    def update(self, key: Any, value: Any) -> None:
        _check(
            _lib().bpf_map_update_elem(self.fd, ct.byref(key), ct.byref(value), 0),
            f"writing map {self.name}",
        )

    def update_all(self, entries: Sequence[tuple[Any, Any]]) -> None:
        """Write many entries with one system call; some may be written where it fails."""
        values = (self.value * len(entries))(*(value for _, value in entries))
        self.update_packed([key for key, _ in entries], values)

    def update_packed(self, all_keys: Sequence[Any], values: Any) -> None:
        """The same, with the values as one array of ctypes, or bytes laid out like it."""
        if not all_keys:
            return
        keys = (self.key * len(all_keys))(*all_keys)
        count = ct.c_uint32(len(all_keys))
        done = _lib().bpf_map_update_batch(self.fd, keys, values, ct.byref(count), None)
        if done < 0 and ct.get_errno() == errno.E2BIG:
            raise KernelError(
                f"writing map {self.name}: the table is full",
                remedy="enable fewer packs, or name fewer signatures in policies",
            )
        _check(done, f"writing map {self.name}")

    def delete_all(self, keys: Sequence[Any]) -> None:
        """Delete entries that are there, which nobody else deletes, with one system call."""
        if not keys:
            return
        array, count = (self.key * len(keys))(*keys), ct.c_uint32(len(keys))
        _check(
            _lib().bpf_map_delete_batch(self.fd, array, ct.byref(count), None),
            f"deleting from map {self.name}",
        )

    def all_keys(self) -> list[Any]:
        """All keys of a hash, read in a few system calls."""
        found: list[Any] = []
        keys, values = (self.key * _BATCH)(), (self.value * _BATCH)()
        # Where the walk is: a bucket's number.
        at, following, first = ct.c_uint32(), ct.c_uint32(), True
        while True:
            count = ct.c_uint32(_BATCH)
            start = None if first else ct.byref(at)
            done = _lib().bpf_map_lookup_batch(
                self.fd, start, ct.byref(following), keys, values, ct.byref(count), None
            )
            if done < 0 and ct.get_errno() != errno.ENOENT:
                _check(-1, f"reading map {self.name}")
            found += [
                type(key).from_buffer_copy(key) if isinstance(key, ct.Structure) else key
                for key in keys[: count.value]
            ]
            if done < 0:
                return found
            at.value, first = following.value, False

    def memory(self) -> int:
        """Bytes of kernel memory that the map takes now.

        Kernels before 6.4 tell what it could take at most.
        """
        told = Path(f"/proc/self/fdinfo/{self.fd}").read_text()
        return next(
            int(line.split()[1]) for line in told.splitlines() if line.startswith("memlock:")
        )

    def lookup(self, key: Any) -> Any | None:
        """The value, or None where the key is not there."""
        value = self.value()
        if _lib().bpf_map_lookup_elem(self.fd, ct.byref(key), ct.byref(value)) < 0:
            if ct.get_errno() == errno.ENOENT:
                return None
            _check(-1, f"reading map {self.name}")
        return value

    def lookup_cpus(self, key: Any) -> list[Any]:
        """One value for each possible processor; the value's size is a multiple of 8."""
        values = (self.value * possible_cpus())()
        _check(
            _lib().bpf_map_lookup_elem(self.fd, ct.byref(key), ct.byref(values)),
            f"reading map {self.name}",
        )
        return list(values)

    def update_cpus(self, key: Any, value: Any) -> None:
        """Write the same value for every processor."""
        values = (self.value * possible_cpus())(*[value] * possible_cpus())
        _check(
            _lib().bpf_map_update_elem(self.fd, ct.byref(key), ct.byref(values), 0),
            f"writing map {self.name}",
        )

    def delete(self, key: Any) -> bool:
        """False where the key was not there."""
        if _lib().bpf_map_delete_elem(self.fd, ct.byref(key)) < 0:
            if ct.get_errno() == errno.ENOENT:
                return False
            _check(-1, f"deleting from map {self.name}")
        return True

    def keys(self) -> Iterator[Any]:
        """All keys; a key deleted meanwhile can make the walk start over (bounded by count)."""
        current: Any = None
        while True:
            following = self.key()
            result = _lib().bpf_map_get_next_key(
                self.fd, ct.byref(current) if current is not None else None, ct.byref(following)
            )
            if result < 0:
                if ct.get_errno() == errno.ENOENT:
                    return
                _check(-1, f"walking map {self.name}")
            yield following
            current = following


def create_map(name: str, spec: MapSpec) -> int:
    """Create a map; returns its descriptor."""
    opts = _MapCreateOpts(sz=ct.sizeof(_MapCreateOpts), map_flags=spec.flags)
    entries, types = spec.max_entries, -1
    if spec.type == _SK_STORAGE:
        types = _load_types(btf.storage_types(spec.value_size))
        opts.btf_fd, opts.btf_key_type_id, opts.btf_value_type_id = (
            types,
            btf.KEY_TYPE,
            btf.VALUE_TYPE,
        )
        opts.map_flags, entries = _NO_PREALLOC, 0
    try:
        return _check(
            _lib().bpf_map_create(
                spec.type,
                name.encode()[:_NAME_LENGTH],
                spec.key_size,
                spec.value_size,
                entries,
                ct.byref(opts),
            ),
            f"creating map {name}",
        )
    finally:
        if types >= 0:
            os.close(types)


def _load_types(raw: bytes) -> int:
    data = ct.create_string_buffer(raw, len(raw))
    return _check(_lib().bpf_btf_load(ct.byref(data), len(raw), None), "loading types")


@dataclass(frozen=True, slots=True)
class ProgramKind:
    """enum bpf_prog_type and enum bpf_attach_type of include/uapi/linux/bpf.h."""

    type: int
    attach: int


CLASSIFIER = ProgramKind(_SCHED_CLS, 0)
# Programs that are no classifiers, by name.
KINDS = {"gate": ProgramKind(_CGROUP_SKB, _CGROUP_INET_EGRESS)}


def load_program(name: str, instructions: bytes, *, kind: ProgramKind | None = None) -> int:
    """Load a program from its instructions (8 bytes each); returns its descriptor.

    Args:
        kind: a TC classifier where it is not given.

    Raises:
        KernelError: refused; with the end of what the verifier said.
    """
    code = ct.create_string_buffer(instructions, len(instructions))
    kind = kind or CLASSIFIER

    def attempt(opts: _ProgLoadOpts) -> int:
        opts.sz = ct.sizeof(_ProgLoadOpts)
        opts.expected_attach_type = kind.attach
        return int(
            _lib().bpf_prog_load(
                kind.type,
                name.encode()[:_NAME_LENGTH],
                b"GPL",
                ct.byref(code),
                len(instructions) // 8,
                ct.byref(opts),
            )
        )

    fd = attempt(_ProgLoadOpts())
    if fd >= 0:
        return fd
    # Again, now with a log: writing one for a program that loads would take seconds.
    log = ct.create_string_buffer(_LOG_SIZE)
    fd = attempt(_ProgLoadOpts(log_level=1, log_size=_LOG_SIZE, log_buf=ct.addressof(log)))
    if fd >= 0:
        return fd
    reason = os.strerror(ct.get_errno() or -fd)
    said = [line[:240] for line in log.value.decode(errors="replace").splitlines()[-_LOG_LINES:]]
    raise KernelError("\n".join([f"loading program {name}: {reason}", *said]))


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """What the kernel says of a program; `run_ns` counts while statistics are enabled."""

    verified_instructions: int
    instructions: int
    run_ns: int
    runs: int
    name: str = ""


def program_info(fd: int) -> ProgramInfo:
    """Figures of a loaded program."""
    info, size = _ProgInfo(), ct.c_uint32(ct.sizeof(_ProgInfo))
    _check(
        _lib().bpf_obj_get_info_by_fd(fd, ct.byref(info), ct.byref(size)),
        "reading a program's figures",
    )
    return ProgramInfo(
        verified_instructions=info.verified_insns,
        instructions=info.xlated_prog_len // 8,
        run_ns=info.run_time_ns,
        runs=info.run_cnt,
        name=info.name.decode(errors="replace"),
    )


def enable_statistics() -> int:
    """Run-time statistics of all programs, for as long as the descriptor is open."""
    return _check(_lib().bpf_enable_stats(0), "enabling run-time statistics")


@dataclass(frozen=True, slots=True)
class TestRun:
    """`result` as the program returned it; `duration_ns` is the mean of the runs."""

    __test__ = False

    result: int
    duration_ns: int


def test_run(fd: int, packet: bytes, *, repeat: int = 1) -> TestRun:  # noqa: PT028 - no test
    """Run a program on a packet that begins with its Ethernet header (BPF_PROG_TEST_RUN)."""
    data = ct.create_string_buffer(packet, len(packet))
    opts = _TestRunOpts(
        sz=ct.sizeof(_TestRunOpts),
        data_in=ct.addressof(data),
        data_size_in=len(packet),
        repeat=repeat,
    )
    _check(_lib().bpf_prog_test_run_opts(fd, ct.byref(opts)), "running a program")
    return TestRun(opts.retval, opts.duration)


class RingBuffer:
    """Reads records of a BPF ring buffer; `fileno` becomes readable when there are some."""

    def __init__(self, fd: int, on_record: Callable[[bytes], None]) -> None:
        def take(_context: int | None, data: int, size: int) -> int:
            on_record(ct.string_at(data, size))
            self._left -= 1
            return 0 if self._left > 0 else _ENOUGH

        self._left = RECORDS
        self._callback = _SAMPLE(take)  # kept alive for as long as the buffer
        self._ring = _lib().ring_buffer__new(fd, self._callback, None, None)
        if not self._ring:
            raise KernelError(f"opening a ring buffer: {os.strerror(ct.get_errno())}")

    def fileno(self) -> int:
        return int(_lib().ring_buffer__epoll_fd(self._ring))

    def consume(self) -> int:
        """Hand over the records that are there, at most RECORDS; returns how many.

        Bounded, because a producer that is faster than the reader would keep it for ever.
        """
        self._left = RECORDS
        result = _lib().ring_buffer__consume(self._ring)
        if result != _ENOUGH:
            _check(result, "reading a ring buffer")
        return RECORDS - self._left

    def close(self) -> None:
        if self._ring:
            _lib().ring_buffer__free(self._ring)
            self._ring = None
