"""Headers are found or assembled on any host, and bcc compiles against them."""

import io
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from dlp.datapath import headers
from dlp.errors import MissingHeaders

RUNNING = "6.18.0-none"


@pytest.fixture(autouse=True)
def _unset(monkeypatch):
    monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def install_split(root: Path, abi: str, flavour: str = "amd64") -> None:
    """Lay down a package of headers as Debian splits it."""
    build = root / f"usr/src/linux-headers-{abi}-{flavour}"
    common = root / f"usr/src/linux-headers-{abi}-common"
    write(build / "include/generated/autoconf.h", "build half")
    write(build / "include/generated/utsrelease.h", f'#define UTS_RELEASE "{abi}-{flavour}"\n')
    write(build / "Makefile", f"include /usr/src/{common.name}/Makefile\n")
    write(common / "include/linux/kconfig.h", "common half")
    write(common / "Makefile")


def find(root: Path) -> headers.HeaderTree:
    return headers.find(root=root, cache=root / "cache", release=RUNNING)


def test_running_kernels_own(tmp_path):
    """The running kernel's own headers are left to bcc, whole or split in two."""
    modules = tmp_path / "lib/modules" / RUNNING
    write(modules / "build/include/generated/autoconf.h")
    write(modules / "source/include/linux/kconfig.h")

    assert headers.HeaderTree(None, "the running kernel's headers", RUNNING) == find(tmp_path)


def test_split_package_is_merged(tmp_path):
    """Debian's two halves of another release appear as one tree, outside /lib/modules."""
    install_split(tmp_path, "6.1.0-56")

    tree = find(tmp_path)

    assert tree.path is not None
    assert tree.path.parent == tmp_path / "cache"
    assert "6.1.0-56-amd64" == tree.release
    assert "build half" == (tree.path / "include/generated/autoconf.h").read_text()
    assert "common half" == (tree.path / "include/linux/kconfig.h").read_text()
    assert not (tmp_path / "lib").exists()


def test_assembled_once(tmp_path):
    """A second look reuses the tree, and an update of the package in place makes a new one."""
    install_split(tmp_path, "6.1.0-56")
    first = find(tmp_path)

    assert first == find(tmp_path)

    config = tmp_path / "usr/src/linux-headers-6.1.0-56-amd64/include/generated/autoconf.h"
    os.utime(config, ns=(0, 1))

    assert first != find(tmp_path)
    assert [] == list((tmp_path / "cache").glob(".new-*"))


def test_oldest_release_wins(tmp_path):
    """Of several releases the oldest is taken, by number and not by spelling."""
    for abi in ("6.12.117+deb12", "6.1.0-56", "6.1.0-9"):
        install_split(tmp_path, abi)

    assert "6.1.0-9-amd64" == find(tmp_path).release


def test_half_a_package_is_passed_over(tmp_path):
    """A package whose common half is gone does not count."""
    install_split(tmp_path, "6.1.0-9")
    install_split(tmp_path, "6.1.0-56")
    (tmp_path / "usr/src/linux-headers-6.1.0-9-common/include/linux/kconfig.h").unlink()

    assert "6.1.0-56-amd64" == find(tmp_path).release


def test_archive_of_the_kernel(tmp_path):
    """The kernel's own archive is unpacked into the cache, not under /tmp."""
    archive = tmp_path / "sys/kernel/kheaders.tar.xz"
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:xz") as bundle:
        for name in ("include/generated/autoconf.h", "include/linux/kconfig.h"):
            bundle.addfile(tarfile.TarInfo(name), io.BytesIO())

    tree = find(tmp_path)

    assert tree.path is not None
    assert tree.path.parent == tmp_path / "cache"
    assert (tree.path / "include/linux/kconfig.h").is_file()


def test_broken_archive(tmp_path):
    """An archive that cannot be read is an error with a remedy and leaves nothing behind."""
    write(tmp_path / "sys/kernel/kheaders.tar.xz", "not an archive")

    with pytest.raises(MissingHeaders) as raised:
        find(tmp_path)

    assert raised.value.remedy
    assert [] == list((tmp_path / "cache").iterdir())


def test_operators_choice(tmp_path, monkeypatch):
    """BCC_KERNEL_SOURCE is respected, and refused with a remedy where it is no header tree."""
    write(tmp_path / "mine/include/generated/autoconf.h")
    monkeypatch.setenv("BCC_KERNEL_SOURCE", str(tmp_path / "mine"))

    with pytest.raises(MissingHeaders) as raised:
        find(tmp_path)

    assert str(tmp_path / "mine") in raised.value.message

    write(tmp_path / "mine/include/linux/kconfig.h")

    assert tmp_path / "mine" == find(tmp_path).path


def test_none(tmp_path):
    """Without any headers the error names the running kernel and the package to install."""

    with pytest.raises(MissingHeaders) as raised:
        find(tmp_path)

    assert RUNNING in raised.value.message
    assert "linux-headers" in raised.value.remedy


def test_unwritable_cache(tmp_path):
    """A cache that cannot be made is named in the error."""
    install_split(tmp_path, "6.1.0-56")
    write(tmp_path / "cache", "a file in its place")

    with pytest.raises(MissingHeaders) as raised:
        find(tmp_path)

    assert str(tmp_path / "cache") in raised.value.message


def test_use(monkeypatch):
    """A tree of ours is handed to bcc; where bcc finds its own, nothing is, not even nothing."""
    monkeypatch.setenv("BCC_KERNEL_SOURCE", "")
    headers.use(headers.HeaderTree(Path("/x"), "", ""))

    assert "/x" == os.environ["BCC_KERNEL_SOURCE"]

    headers.use(headers.HeaderTree(None, "", ""))

    assert "BCC_KERNEL_SOURCE" not in os.environ


LOAD = r"""
import sys
from pathlib import Path
from dlp.datapath import headers
headers.use(headers.find(cache=Path(sys.argv[1])))
from bcc import BPF
text = '''
#include <uapi/linux/bpf.h>
#include <uapi/linux/pkt_cls.h>
int pass(struct __sk_buff *skb) { return skb->len ? TC_ACT_OK : TC_ACT_SHOT; }
'''
assert BPF(text=text).load_func("pass", BPF.SCHED_CLS).fd > 0
"""


@pytest.mark.kernel
def test_bcc_compiles_and_loads(tmp_path):
    """On this very host bcc compiles and loads a classifier with what was found."""
    # In a process of its own: bcc keeps what it read of the environment.
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / "cache")],
        check=False,
        capture_output=True,
        text=True,
    )

    assert "" == done.stderr
    assert 0 == done.returncode


def test_found_again_in_milliseconds(tmp_path):
    """Finding an assembled tree costs nothing that a start would notice."""
    install_split(tmp_path, "6.1.0-56")
    find(tmp_path)
    start = time.perf_counter()
    find(tmp_path)

    assert time.perf_counter() - start < 0.1
