"""The initial RAM disk: busybox and the few modules on the way to the root file system."""

from __future__ import annotations

import lzma
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.kernels.images import Image

_BUSYBOX = Path("/bin/busybox")
_NEEDED = ("virtio_pci", "virtio_rng", "9pnet_virtio", "9p", "overlay")
_INIT = Path(__file__).with_name("initramfs.sh")


def build(image: Image, target: Path) -> None:
    """Write the disk for `image` to `target`."""
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory)
        for name in ("bin", "dev", "modules", "proc", "sys", "lower", "upper", "new"):
            (tree / name).mkdir()
        shutil.copy(_BUSYBOX, tree / "bin/busybox")
        (tree / "bin/sh").symlink_to("busybox")
        shutil.copy(_INIT, tree / "init")
        (tree / "init").chmod(0o755)
        for number, module in enumerate(_load_order(image)):
            # Numbered, so that the shell's own sorting loads them in order.
            name = f"{number:02d}-{module.name.removesuffix('.xz')}"
            (tree / "modules" / name).write_bytes(_plain(module))
        files = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
        with target.open("wb") as out:
            subprocess.run(
                ["cpio", "--create", "--format=newc", "--quiet", "--owner=0:0"],
                cwd=tree,
                input=files.encode(),
                stdout=out,
                check=True,
            )


def _load_order(image: Image) -> list[Path]:
    order: dict[Path, None] = {}
    for name in _NEEDED:
        lines = subprocess.run(
            ["modprobe", "-C", "/dev/null", "-d", image.root, "-S", image.release, "-D", name],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()
        # "insmod /path/to.ko", dependencies first; "builtin name" where there is nothing to load.
        order |= {Path(line.split()[1]): None for line in lines if line.startswith("insmod ")}
    return list(order)


def _plain(module: Path) -> bytes:
    # busybox's insmod knows no xz.
    data = module.read_bytes()
    return lzma.decompress(data) if module.suffix == ".xz" else data
