"""The gateway: the composition root, where every part meets the others.

    configuration ─► packs ─► image ─┐   (packs: of the live release, else of the file)
                   └► policies ──────┴► datapath ─► controller (namespaces)
    events, payload ─► translator ─► store ─► subscribers
                    └► matcher process ─► translator

Enforcement does not depend on this process: it may end, be killed and be started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import structlog

import dlp
from dlp.api.app import create_app
from dlp.api.serve import serve
from dlp.datapath.datapath import ROOT, Datapath, current_layout
from dlp.datapath.pins import RUN, Layout, remove_tree
from dlp.enforcement import lock, record
from dlp.enforcement import names as release_names
from dlp.enforcement.detach import take_off_all
from dlp.enforcement.loaded import configured, make
from dlp.enforcement.restored import restore
from dlp.enforcement.service import GatewayService
from dlp.enforcement.vault import Vault
from dlp.errors import DlpError, KernelError, PrivilegeError
from dlp.keys import load_or_create
from dlp.model import (
    WorkloadState,
)
from dlp.signatures.cache import usual_directory
from dlp.store.tokens import TokenStore
from dlp.store.verdicts import VerdictStore

# Beside builds, pinned links and gates lie there, which outlive them.
_BUILD = re.compile(r"[0-9a-f]{16}(-aside)?")


def run(config_path: Path, netns: list[str], wait: float) -> int:
    """Run in the foreground until SIGTERM or SIGINT; the command `dlp run`.

    Raises:
        DlpError: the gateway cannot start.
    """
    if os.geteuid() != 0:
        raise PrivilegeError("the gateway needs root", remedy="run it with sudo")
    _configure_log()
    _raise_limits()
    with lock.alone():
        return asyncio.run(_main(config_path, netns, wait))


def _raise_limits() -> None:
    """Each namespace takes some nine descriptors; the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _main(config_path: Path, netns: list[str], wait: float) -> int:
    config = configured(config_path, netns)
    key = load_or_create(config.state_dir)
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(await VerdictStore.open(config.verdicts_file))
        restored = await restore(config, store.releases, Vault(config.releases_dir))
        loaded = make(config, restored.sets, cache=usual_directory())
        stale = _other_builds()
        datapath = await asyncio.to_thread(partial(Datapath.open, older=stale))
        stack.callback(datapath.close)
        stale = _other_builds()
        tokens = TokenStore(config.tokens_file)
        service = GatewayService(loaded, netns, datapath, store, key, restored)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with asyncio.TaskGroup() as group:
            loop.add_signal_handler(
                signal.SIGHUP, lambda: group.create_task(_reload_on_signal(service))
            )
            await service.run(group)
            tcp = config.api.tcp
            async with serve(
                create_app(service, tokens, version=dlp.__version__),
                unix=config.api.unix,
                tcp=(tcp.host, tcp.port) if tcp else None,
            ):
                waiting = group.create_task(_announce(service, wait, stale))
                await stop.wait()
                waiting.cancel()
            await service.stop()
    return 0


async def _announce(service: GatewayService, wait: float, stale: list[Layout]) -> None:
    """Say `ready` when every listed namespace is enforced, or the time for it is over."""
    enforced = await service.wait_enforced(wait)
    if enforced:
        for build in stale:
            build.remove()  # every classifier of it has been replaced by now
    if not enforced:
        missing = [
            one.name for one in await service.workloads() if one.state is not WorkloadState.ENFORCED
        ]
        sys.stderr.write(f"dlp: warning: not enforced yet: {', '.join(missing)}\n")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    _notify_systemd("READY=1")


async def _reload_on_signal(service: GatewayService) -> None:
    try:
        await service.reload()
    except DlpError as error:
        structlog.get_logger().error("reload refused, nothing changed", reason=str(error))


def _notify_systemd(state: str) -> None:
    """sd_notify(3), without the library: one datagram to the socket systemd names."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(state.encode(), address)


def _other_builds() -> list[Layout]:
    """Other builds than this one's that are pinned, the latest first."""
    current = current_layout().pins
    if not ROOT.is_dir():
        return []
    found = [
        Layout(path, RUN / f"datapath-{path.name}.json")
        for path in ROOT.iterdir()
        if path != current and _BUILD.fullmatch(path.name)
    ]
    return sorted(
        found,
        key=lambda one: one.manifest.stat().st_mtime if one.manifest.exists() else 0,
        reverse=True,
    )


def detach(*, everywhere: bool = False) -> int:
    """Remove everything the gateway made, and put back what it changed.

    Args:
        everywhere: search all namespaces of the host instead of believing the record.

    Returns how many classifiers were taken off.

    Raises:
        KernelError: a gateway runs, the record is lost, or the kernel refuses; then
            nothing is unpinned, as a classifier without its programs drops everything.
    """
    if os.geteuid() != 0:
        raise PrivilegeError("detaching needs root", remedy="run it with sudo")
    with lock.alone():
        if ROOT.is_dir() and not record.is_whole(record.RECORD) and not everywhere:
            raise KernelError(
                f"the record of what is attached, {record.RECORD}, is lost or damaged",
                remedy="`dlp detach --all` searches every namespace of this host",
            )
        count = take_off_all(record.read(record.RECORD), everywhere=everywhere)
        remove_tree(ROOT)
        for path in (*RUN.glob("datapath-*"), record.RECORD, release_names.FILE):
            path.unlink(missing_ok=True)
    return count


def _configure_log() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
