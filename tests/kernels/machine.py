"""A booted kernel: one qemu process that runs one command as root and ends.

It shares the machine's whole root file system, read-only below an overlay, at the same paths: the
guest needs no image of its own and tests exactly what lies in the checkout.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.kernels import initrd
from tests.kernels.images import Image

_GUEST = Path(__file__).with_name("guest.sh")
_QUIET = (
    "quiet panic=-1 nokaslr mitigations=off audit=0 nowatchdog no_timer_check tsc=reliable "
    "random.trust_cpu=on cryptomgr.notests 8250.nr_uarts=2 console=ttyS0"
)


class BootError(Exception):
    """The guest ended without a status; the message holds the end of its console."""


def accelerator() -> str:
    """Return kvm where the processor really virtualises, else tcg.

    A /dev/kvm that opens proves nothing: on some virtual machines it creates a CPU that never
    executes. Those do not show the processor's flag.
    """
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    virtualises = flags is not None and {"vmx", "svm"} & set(flags[1].split())
    return "kvm" if virtualises and os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"


async def run(
    image: Image, command: str, *, accel: str, memory_mb: int, emit: Callable[[str], None]
) -> int:
    """Boot `image`, run the shell `command`, hand on its lines, return its status.

    Raises BootError if the guest never came to a status, asyncio.CancelledError after having
    ended qemu if the caller gives up.
    """
    with tempfile.TemporaryDirectory(prefix="dlp-guest-") as directory:
        out = Path(directory)
        (out / "command").write_text(command)
        disk = out / "initrd"
        await asyncio.to_thread(initrd.build, image, disk)
        qemu = await asyncio.create_subprocess_exec(
            *_qemu(image, out, accel, memory_mb),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert qemu.stdout is not None
        try:
            async for line in qemu.stdout:
                emit(line.decode(errors="replace").rstrip())
            await qemu.wait()
        finally:
            if qemu.returncode is None:
                qemu.kill()
                await qemu.wait()
        try:
            return int((out / "status").read_text())
        except (OSError, ValueError):
            console = (out / "console").read_text(errors="replace").splitlines()
            raise BootError("\n".join(console[-60:])) from None


def _qemu(image: Image, out: Path, accel: str, memory_mb: int) -> list[str]:
    # multidevs: the root may span file systems, whose inode numbers collide.
    share = "local,security_model=none"
    # la57: five-level paging only slows the emulation down.
    cpu = "host" if accel == "kvm" else "max,la57=off"
    accel = "kvm" if accel == "kvm" else "tcg,thread=multi,tb-size=512"
    options = {
        "-machine": "q35",
        "-accel": accel,
        "-cpu": cpu,
        "-smp": "2",
        "-m": str(memory_mb),
        "-display": "none",
        "-monitor": "none",
        "-kernel": str(image.vmlinuz),
        "-initrd": str(out / "initrd"),
        "-append": f"{_QUIET} dlp.init={_GUEST} dlp.modules={image.modules}",
    }
    devices = [
        ("-serial", f"file:{out / 'console'}"),
        ("-serial", "stdio"),
        ("-fsdev", f"{share},id=root,path=/,readonly=on,multidevs=remap"),
        ("-device", "virtio-9p-pci,fsdev=root,mount_tag=root"),
        ("-fsdev", f"{share},id=out,path={out}"),
        ("-device", "virtio-9p-pci,fsdev=out,mount_tag=out"),
        ("-device", "virtio-rng-pci"),
    ]
    pairs = [*options.items(), *devices]
    flat = [word for pair in pairs for word in pair]
    return ["qemu-system-x86_64", "-nodefaults", "-no-reboot", *flat]
