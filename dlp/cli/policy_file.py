"""Commands on policy files and the values they name: config check, config show, digest."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlp.cli.output import Json, examples, print_json
from dlp.config.section import told
from dlp.errors import DlpError, Place, UsageError

if TYPE_CHECKING:
    from dlp.config import Policy, Workloads

_File = Annotated[Path, typer.Argument(help="Policy file.", metavar="FILE")]
_Signature = Annotated[
    str, typer.Option("--signature", help="Id of the signature that finds the value.", metavar="ID")
]
_Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Policy file; names packs and state.", metavar="FILE"),
]
_StateDir = Annotated[
    Path | None, typer.Option("--state-dir", help="Where the key lies.", metavar="DIR")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        name="config",
        help="Work on a policy file; no privileges needed.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("check", epilog=examples("dlp config check dlp.yaml"))(check)
    group.command("show", epilog=examples("dlp config show dlp.yaml"))(show)
    app.add_typer(group)
    app.command(
        epilog=examples(
            "dlp digest --signature pci.card.visa",
            "dlp digest --signature pci.card.visa --config /etc/dlp/dlp.yaml < value.txt",
        )
    )(digest)


def check(file: _File, *, json: Json = False) -> None:
    """Check a policy file with its packs.

    Nothing is loaded into the kernel, and no privilege is needed.
    """
    if not json:
        summary = _summary(file)
        for warning in summary["warnings"]:
            sys.stderr.write(f"dlp: warning: {warning}\n")
        decided = f"{summary['kernel']} by the kernel, {summary['inspector']} by the inspector"
        typer.echo(
            f"OK: {_count(len(summary['policies']), 'policy', 'policies')}, "
            f"{_count(summary['signatures'], 'signature', 'signatures')} (decided {decided})"
        )
        return
    try:
        print_json({"ok": True, **_summary(file), "problems": []})
    except DlpError as error:
        problems = [_problem(problem) for problem in getattr(error, "problems", (error,))]
        print_json({"ok": False, "problems": problems})
        raise typer.Exit(error.exit_code) from error


def show(file: _File, *, json: Json = False) -> None:
    """Show every setting of a policy file, with defaults.

    The policy `(strictest)` is for traffic that no policy matches. Packs are not read.
    """
    from dlp.cli.output import print_table  # noqa: PLC0415
    from dlp.config import load  # noqa: PLC0415
    from dlp.policy.strictest import strictest_settings  # noqa: PLC0415

    config = load(file)
    policies = [*config.policies, strictest_settings(config.policies)]
    workloads = _workloads(config.workloads)
    if json:
        listed = [{"name": one.name, **_settings(one)} for one in policies]
        print_json({"workloads": workloads, "policies": listed})
        return
    rows: list[list[object]] = [[f"workloads.{key}", value] for key, value in workloads.items()]
    print_table(["KEY", "VALUE"], rows, empty="")
    typer.echo()
    columns = [_flat(_settings(one)) for one in policies]
    rows = [[key, *(column[key] for column in columns)] for key in columns[0]]
    print_table(["KEY", *(one.name for one in policies)], rows, empty="")


def digest(*, signature: _Signature, config: _Config = None, state_dir: _StateDir = None) -> None:
    """Print the digest of a value.

    It goes into `exceptions` of a policy file. The value is read from standard input, without
    echo on a terminal. It is not stored, and does not belong on the command line, where other
    users can see it.
    """
    from dlp.cli.packs import load_set, state_dir_of  # noqa: PLC0415
    from dlp.keys import load_or_create  # noqa: PLC0415
    from dlp.signatures.masking import digest as digest_of  # noqa: PLC0415

    _, image = load_set(config, ())
    found = next((entry for entry in image.signatures if entry.id == signature), None)
    if found is None:
        raise UsageError(
            f"there is no signature {signature}", remedy="`dlp signatures list` shows all"
        )
    if state_dir is None:
        state_dir = state_dir_of(config)
    value = _read_value()
    if not value:
        raise UsageError("no value on standard input", remedy="type it, or redirect a file")
    typer.echo(digest_of(load_or_create(state_dir), value, found).hex())


def _summary(file: Path) -> dict[str, Any]:
    from dlp.config import load  # noqa: PLC0415
    from dlp.model import DecidedBy  # noqa: PLC0415
    from dlp.policy import PolicySet  # noqa: PLC0415
    from dlp.signatures.cache import Cache, usual_directory  # noqa: PLC0415
    from dlp.signatures.pack import load_packs  # noqa: PLC0415

    config = load(file)
    packs = load_packs(config.signatures, config.base)
    compiler = Cache(usual_directory())
    image = compiler.image(packs)
    policies = PolicySet(config, compiler.subjects(packs))
    kernel = sum(signature.decided is DecidedBy.KERNEL for signature in image.signatures)
    expired = [
        f"an exception of policy {name} ended on {entry.until}: {entry.reason}"
        for name, entry in policies.expired(time.time())
    ]
    return {
        "policies": list(policies.names[1:]),
        "signatures": len(image.signatures),
        "kernel": kernel,
        "inspector": len(image.signatures) - kernel,
        "warnings": [*config.warnings, *expired],
    }


def _workloads(workloads: Workloads) -> dict[str, Any]:
    return {
        "netns": list(workloads.netns),
        "new_workloads": workloads.new.value,
        "gate": list(workloads.gate),
        "attach": workloads.attach.value,
    }


def _settings(policy: Policy) -> dict[str, Any]:
    """The settings of a policy, named and worded as the policy file does."""
    escalate = policy.escalate
    return {
        "mode": policy.mode.value,
        "uninspectable": policy.uninspectable.label,
        "unowned": policy.unowned.value,
        "urgent": policy.urgent.value,
        "mptcp": policy.mptcp.value,
        "fragments": policy.fragments.value,
        "other_protocols": policy.other_protocols.value,
        "over_budget": policy.over_budget.label,
        "on_overload": policy.on_overload.value,
        "on_inspector_down": {
            "mirror": policy.on_inspector_down.value,
            "hold": policy.on_hold_timeout.value,
        },
        "hold_timeout_ms": policy.hold_timeout_ms,
        "hold_udp": policy.hold_udp.label,
        "open_end": policy.open_end.value,
        "loopback": policy.loopback.value,
        "kill": policy.kill,
        "escalate": None
        if escalate is None
        else {
            "verdicts": escalate.verdicts,
            "window": told(escalate.window_s),
            "action": "quarantine",
        },
    }


def _flat(settings: dict[str, Any]) -> dict[str, object]:
    """One value a key: what is a mapping is told in one text, as `mirror open, hold closed`."""
    return {
        key: ", ".join(f"{name} {value}" for name, value in entry.items())
        if isinstance(entry, dict)
        else str(entry).lower()
        if isinstance(entry, bool)
        else entry
        for key, entry in settings.items()
    }


def _problem(error: DlpError) -> dict[str, Any]:
    place = error.place or Place(Path())
    return {
        "file": str(place.file) if error.place else "",
        "line": place.line,
        "key": place.key,
        "message": error.message,
        "remedy": error.remedy,
    }


def _read_value() -> bytes:
    if sys.stdin.isatty():
        import getpass  # noqa: PLC0415

        return getpass.getpass("value (not shown): ").encode()
    return sys.stdin.buffer.read().removesuffix(b"\n").removesuffix(b"\r")


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
