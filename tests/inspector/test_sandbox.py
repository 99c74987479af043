"""Each step is tried by a process that takes it and then attempts what it forbids."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dlp.inspector.sandbox import Step

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up privileges")

PRELUDE = """
import ctypes, errno, mmap, os, resource, signal, socket, struct, sys
from dlp.inspector import sandbox
libc = ctypes.CDLL(None, use_errno=True)

def attempt(action):
    try:
        action()
    except MemoryError:
        return "MemoryError"
    except OSError as error:
        return errno.errorcode[error.errno]
    return "allowed"

def call(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")

def tell(action):
    os.write(1, (attempt(action) + "\\n").encode())
"""


def run(code, **options):
    """Run code in a fresh interpreter; its standard output as lines, its return code."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=30,
        **options,
    )
    return done.stdout.split(), done.returncode, done.stderr


def told(code, **options):
    lines, status, errors = run(code, **options)
    assert (0, "") == (status, errors)
    return lines


def test_other_descriptors_are_closed():
    """Only the standard streams and the socket stay open."""
    assert ["allowed", "allowed", "EBADF", "EBADF"] == told("""
        kept, other = socket.socketpair()
        spare = os.dup2(0, 200)
        sandbox.close_descriptors(kept.fileno())
        for fd in (2, kept.fileno(), other.fileno(), 200):
            tell(lambda: os.fstat(fd))
        os._exit(0)
    """)


@root
def test_network_is_another():
    """In the new network namespace not even the loopback device is up."""
    assert ["allowed", "ENETUNREACH"] == told("""
        server = socket.create_server(("127.0.0.1", 0))
        def connect():
            socket.create_connection(server.getsockname(), timeout=2).close()
        tell(connect)
        sandbox.leave_namespaces()
        tell(connect)
    """)


@root
def test_files_are_gone():
    """The root is empty and read-only, and no `..` leads out of it."""
    assert ["ENOENT", "ENOENT", "ENOENT", "EROFS", "[]"] == told("""
        sandbox.leave_files()
        for path in ("/etc/passwd", "/proc/self", "../../etc/passwd"):
            tell(lambda: os.open(path, os.O_RDONLY))
        tell(lambda: os.mkdir("/x"))
        os.write(1, str(os.listdir("/")).encode())
    """)


@root
def test_host_keeps_its_mounts():
    """What the process does to its mounts is not seen outside."""
    before = Path("/proc/self/mounts").read_text()

    told("sandbox.leave_files()")

    assert before == Path("/proc/self/mounts").read_text()


def test_memory_is_limited():
    """An allocation beyond the bound fails."""
    assert ["allowed", "ENOMEM"] == told("""
        sandbox.limit_resources(256 << 20)
        tell(lambda: mmap.mmap(-1, 16 << 20))
        tell(lambda: mmap.mmap(-1, 512 << 20))
    """)


def test_files_and_cores_cannot_be_written(tmp_path):
    """A write to a file ends the process or fails; no core is left."""
    path = tmp_path / "file"
    path.touch()

    assert ["EFBIG", "(0,0)"] == told(f"""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        fd = os.open({str(path)!r}, os.O_WRONLY)
        sandbox.limit_resources()
        tell(lambda: os.write(fd, b"x"))
        os.write(1, str(resource.getrlimit(resource.RLIMIT_CORE)).replace(" ", "").encode())
    """)
    assert 0 == path.stat().st_size


def test_descriptors_are_limited():
    """No more than a handful can be opened."""
    assert ["EMFILE"] == told("""
        sandbox.limit_resources()
        tell(lambda: [os.dup(0) for _ in range(20)])
    """)


@root
def test_processes_are_limited():
    """As another user than root, no process can be made."""
    assert ["EAGAIN"] == told("""
        sandbox.limit_resources()
        sandbox.become_nobody()
        tell(os.fork)
    """)


@root
def test_identity_is_given_up_for_good():
    """Neither user nor groups nor capabilities are left, and root does not come back."""
    assert [
        "(65534,65534,65534)",
        "(65534,65534,65534)",
        "[]",
        "0000000000000000",
        "EPERM",
        "EPERM",
        "EACCES",
    ] == told("""
        sandbox.become_nobody()
        for value in (os.getresuid(), os.getresgid(), os.getgroups()):
            os.write(1, (str(value).replace(" ", "") + "\\n").encode())
        status = open("/proc/self/status").read()
        os.write(1, status.split("CapEff:")[1].split()[0].encode() + b"\\n")
        tell(lambda: os.setuid(0))
        tell(lambda: os.setgroups([0]))
        tell(lambda: os.open("/etc/shadow", os.O_RDONLY))
    """)


@root
def test_memory_is_hidden_from_the_same_user():
    """Another process of the same user may not look into this one."""
    assert ["allowed", "EACCES"] == told("""
        sandbox.become_nobody()
        sandbox._prctl(4, 1)
        ask, answer = os.pipe()
        child = os.fork()
        if child == 0:
            tell(lambda: os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY))
            os._exit(0)
        os.waitpid(child, 0)
        sandbox.hide_memory()
        child = os.fork()
        if child == 0:
            tell(lambda: os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY))
            os._exit(0)
        os.waitpid(child, 0)
    """)


@root
def test_no_privilege_comes_back_by_a_program():
    """A set-user-id program run by the process stays what the process is."""
    assert ["65534"] == told("""
        import shutil, tempfile
        sandbox.refuse_privileges()
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            tool = shutil.copy("/usr/bin/id", directory)
            os.chmod(tool, 0o4755)
            child = os.fork()
            if child == 0:
                sandbox.become_nobody()
                os.execv(tool, [tool, "-u"])
            os.waitpid(child, 0)
    """)


LOCKED = """
link, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
keep = link.detach()
page = mmap.mmap(-1, 4096)
base = ctypes.addressof(ctypes.c_char.from_buffer(page))
result = sandbox.enter(keep)
"""


@root
def test_all_steps_are_taken():
    """As root on this host nothing is missing."""
    assert list(Step) == told(
        LOCKED + 'os.write(1, " ".join(result.taken).encode()); os._exit(bool(result.missing))'
    )


@pytest.mark.parametrize(
    "action",
    [
        'os.open("/", os.O_RDONLY)',
        'os.open("/x", os.O_WRONLY | os.O_CREAT)',
        'os.listdir("/")',
        "os.fork()",
        "socket.socket()",
        "socket.socketpair()",
        "os.pipe()",
        'os.execv("/bin/true", ["true"])',
        "os.setuid(0)",
        "os.kill(os.getppid(), 0)",
        "os.dup(0)",
        "mmap.mmap(-1, 4096, prot=mmap.PROT_EXEC | mmap.PROT_READ)",
        "call(libc.ptrace(0, 0, 0, 0))",
        "call(libc.unshare(0x10000000))",
        "call(libc.mprotect(ctypes.c_void_p(base), 4096, 5))",
        "call(libc.memfd_create(b'x', 0))",
        "call(libc.syscall(425, 1, 0))",
        "call(libc.syscall(321, 0, 0, 0))",
        "call(libc.prctl(4, 1, 0, 0, 0))",
    ],
)
def test_locked_in_process_is_refused(action):
    """After all steps, what is not on the list of calls is refused: EPERM, whatever the rest."""
    assert ["EPERM"] == told(f"{LOCKED}\ntell(lambda: {action})\nos._exit(0)")


def test_locked_in_process_can_work():
    """Receiving, sending, allocating, telling the time and a timer's signal all go on."""
    assert ["allowed"] * 5 == told("""
        import time
        link, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        keep = link.fileno()
        peer.send(b"in")
        sandbox.enter(keep)
        tell(lambda: link.recv(10))
        tell(lambda: bytearray(50 << 20))
        tell(time.monotonic)
        tell(lambda: time.sleep(0.01))
        tell(lambda: signal.setitimer(signal.ITIMER_PROF, 1))
        os._exit(0)
    """)


@root
def test_without_root_the_rest_is_still_taken():
    """An unprivileged user loses what it can and is told what was not possible."""
    assert ["descriptors", "limits", "undumpable", "no-new-privileges", "syscalls"] == told("""
        keep = socket.socket().detach()
        sandbox.become_nobody()
        result = sandbox.enter(keep)
        os.write(1, " ".join(result.taken).encode())
        os._exit(0)
    """)
