"""Commands on signature releases: made and signed here, taken and run by a gateway.

`dlp release NAME` was, and is, how a workload leaves quarantine: a name that is none of the
commands below is a workload's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from dlp.cli.client import Api, Token, ask, items
from dlp.cli.expiry import Expires, expiry
from dlp.cli.files import read_file, write_file
from dlp.cli.incidents import release as release_workload
from dlp.cli.keys import Key, PassphraseFile, private_key
from dlp.cli.output import Json, clock, examples, print_json, print_table
from dlp.errors import UsageError

if TYPE_CHECKING:
    from dlp.releases.archive import Archive

PATIENCE_S = 300.0  # a large set takes a while to compile

_File = Annotated[Path, typer.Argument(help="A release.", metavar="FILE")]
_Version = Annotated[int, typer.Argument(min=1, help="Of a release.", metavar="VERSION")]
_Packs = Annotated[
    list[str], typer.Option("--pack", help="A pack by name or path; repeatable.", metavar="PACK")
]
_Roots = Annotated[
    list[Path] | None,
    typer.Option(
        "--root",
        help="Every version of the trust, from 1 on: for gateways that know an older one.",
        metavar="FILE",
    ),
]


class _Group(TyperGroup):
    """A word that is no command is the name of a workload."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["workload", *args]
        return super().resolve_command(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        name="release",
        cls=_Group,
        help="Signed releases of signatures; `dlp release NAME` ends a workload's quarantine.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for call, shown in (
        (
            build,
            (
                "dlp release build --pack pci --pack ./a.yaml --version 7 --expires 9d --out 7.dlp",
                "dlp release build --pack pii --version 8 --expires 90d --root 1.json --out 8.dlp",
            ),
        ),
        (sign, ("dlp release sign 7.dlp --key alice.key",)),
        (verify, ("dlp release verify 7.dlp --trust root.1.json",)),
        (upload, ("dlp release upload 7.dlp",)),
        (list_, ("dlp release list", "dlp release list --json")),
        (show, ("dlp release show 7",)),
        (diff, ("dlp release diff 7", "dlp release diff 7 --json")),
        (shadow, ("dlp release shadow 7",)),
        (
            activate,
            (
                "dlp release activate 7",
                "dlp release activate 7 --netns 'web-*' --netns canary",
                "dlp release activate 7 --percent 5",
            ),
        ),
        (rollback, ("dlp release rollback", 'dlp release rollback 7 --reason "false alarms"')),
    ):
        group.command(call.__name__.rstrip("_"), epilog=examples(*shown))(call)
    group.command("workload", epilog=examples("dlp release workload web"))(release_workload)
    app.add_typer(group)


def build(
    *,
    pack: _Packs,
    version: Annotated[int, typer.Option("--version", help="Higher than the last.", metavar="N")],
    expires: Expires,
    root: _Roots = None,
    out: Annotated[Path, typer.Option("--out", help="The file to make.", metavar="FILE")],
    json: Json = False,
) -> None:
    """Make a release out of packs, not yet signed.

    Packs are compiled and their samples tried first. A draft, or a signature with fewer than
    three samples that match and three that must not, cannot be released.
    """
    from dlp.releases import archive, metadata, trust  # noqa: PLC0415
    from dlp.releases.content import check_fit  # noqa: PLC0415
    from dlp.signatures.compiler import compile_packs  # noqa: PLC0415
    from dlp.signatures.pack import load_packs  # noqa: PLC0415

    packs = load_packs(pack, Path.cwd())
    check_fit(packs)
    image = compile_packs(packs)
    files = {one.name: read_file(one.file) for one in packs}
    if len(files) < len(packs):
        raise UsageError("two packs have one name", remedy="rename one of them")
    roots = [read_file(path) for path in root or ()]
    for number, raw in enumerate(roots, 1):
        found = trust.parse(raw, f"--root {number}")
        if found.signed.version != number:
            raise UsageError(
                f"--root {number} is version {found.signed.version} of the trust",
                remedy="name every version, from 1 on, in order",
            )
    made = metadata.create(files, version=version, expires=expiry(expires))
    write_file(out, archive.write(roots, made.to_bytes(), files))
    if json:
        shown = {"version": version, "packs": sorted(files), "signatures": len(image.signatures)}
        print_json({**shown, "file": str(out)})
        return
    typer.echo(
        f"{out}: release {version}, {len(files)} packs, {len(image.signatures)} signatures; "
        f"to be signed: `dlp release sign {out} --key FILE.key`"
    )


def sign(file: _File, *, key: Key, passphrase_file: PassphraseFile = None) -> None:
    """Add a signature to a release."""
    from dlp.releases import archive, metadata, trust  # noqa: PLC0415

    found = _archive(file)
    release = metadata.parse(found.release)
    trust.sign(release, private_key(key, passphrase_file))
    raw = archive.write(found.roots, release.to_bytes(), found.packs)
    write_file(file, raw, over=True)
    count = len(release.signatures)
    what = "signature" if count == 1 else "signatures"
    typer.echo(f"{file}: release {release.signed.version}, {count} {what}")


def verify(
    file: _File,
    *,
    trust: Annotated[
        Path, typer.Option("--trust", help="The trust of the gateways.", metavar="FILE")
    ],
    installed: Annotated[
        int, typer.Option("--installed", min=0, help="It must be newer than that.", metavar="N")
    ] = 0,
    json: Json = False,
) -> None:
    """Judge a release as a gateway would, without one."""
    import time  # noqa: PLC0415

    from dlp.releases.verify import verify as verified  # noqa: PLC0415

    raw = read_file(file)
    found = verified(raw, read_file(trust), now=time.time(), installed=installed, max_size=len(raw))
    if json:
        print_json(
            {
                "version": found.version,
                "sha256": found.sha256,
                "expires": found.expires,
                "signers": found.signers,
                "packs": [one.name for one in found.files],
            }
        )
        return
    signers = ", ".join(signer[:8] for signer in found.signers)
    typer.echo(
        f"OK: release {found.version}, {len(found.files)} packs, signed by {signers}, "
        f"expires {clock(found.expires)}"
    )


def upload(file: _File, *, api: Api = "", token: Token = "", json: Json = False) -> None:
    """Hand a release to the gateway, which verifies and compiles it. Nothing acts yet."""
    from dlp.cli.client import Client, wait_for  # noqa: PLC0415

    raw = read_file(file)
    client = Client(api, token)
    answer = wait_for(
        client.send("releases", raw, media="application/vnd.dlp.release", timeout_s=PATIENCE_S)
    )
    _tell(answer, json=json)


def list_(*, api: Api = "", token: Token = "", json: Json = False) -> None:
    """List the releases that a gateway has, newest version first."""
    found = items(ask(api, token, "releases"))
    if json:
        print_json(found)
        return
    rows = [
        [
            one.get("version"),
            one.get("state"),
            one.get("signatures"),
            ", ".join(str(pack.get("name")) for pack in one.get("packs") or ()),
            _when(one.get("expires")),
            _when(one.get("went_live")),
            one.get("reason"),
        ]
        for one in found
    ]
    columns = ("version", "state", "signatures", "packs", "expires", "live since", "reason")
    print_table(columns, rows, empty="no releases: the policy file's packs run")


def show(version: _Version, *, api: Api = "", token: Token = "", json: Json = False) -> None:
    """Show a release and every step it took: who did what, when and why."""
    answer = ask(api, token, f"releases/{version}")
    if json:
        print_json(answer)
        return
    _tell(answer, json=False)
    columns = ("when", "who", "what", "from", "to", "reason")
    keys = ("who", "what", "before", "after", "reason")
    rows = [
        [_when(one.get("time")), *(one.get(key) for key in keys)]
        for one in answer.get("steps") or ()
    ]
    print_table(columns, rows, empty="no steps")


def diff(version: _Version, *, api: Api = "", token: Token = "", json: Json = False) -> None:
    """Show what a release would do otherwise than what is live.

    By signature and workload: would newly drop, would no longer drop, unchanged; hits of what
    is live and of the release, whatever is done with them; how much oftener the inspector
    would be called. Hits are counted while it is in shadow or canary.
    """
    answer = ask(api, token, f"releases/{version}/diff", timeout_s=PATIENCE_S)
    if json:
        print_json(answer)
        return
    against = answer.get("against") or "the policy file's packs"
    typer.echo(f"release {version} against {against}")
    for key in ("added", "removed", "changed"):
        found = answer.get(key) or []
        typer.echo(f"  {key} {len(found)}{': ' if found else ''}{', '.join(found)}")
    typer.echo(f"  same {answer.get('same')}")
    if answer.get("since") is None:
        typer.echo("nothing was counted: `dlp release shadow` begins that")
        return
    typer.echo(f"hits since {_when(answer.get('since'))}:")
    columns = (
        *("signature", "workload", "newly", "no longer", "unchanged"),
        *("hits", "inspector", "examples"),
    )
    rows = [
        [
            one.get("signature"),
            one.get("workload"),
            one.get("would_newly_drop"),
            one.get("would_no_longer_drop"),
            one.get("unchanged"),
            f"{one.get('live')} > {one.get('candidate')}",
            f"{one['would_ask']:+}" if one.get("would_ask") else "",
            ", ".join(str(example.get("masked")) for example in one.get("examples") or ()),
        ]
        for one in answer.get("entries") or ()
    ]
    print_table(columns, rows, empty="no hits")


def shadow(version: _Version, *, api: Api = "", token: Token = "", json: Json = False) -> None:
    """Run a release beside what is live: its hits are counted, and nothing is done."""
    _tell(_change(version, "shadow", {}, api, token), json=json)


def activate(
    version: _Version,
    *,
    netns: Annotated[
        list[str] | None,
        typer.Option("--netns", help="Only for workloads whose name fits.", metavar="GLOB"),
    ] = None,
    percent: Annotated[
        int, typer.Option("--percent", min=0, max=99, help="Only for so many of 100 workloads.")
    ] = 0,
    api: Api = "",
    token: Token = "",
    json: Json = False,
) -> None:
    """Make a release act: for chosen workloads, or for all.

    For all it takes the place of what was live in one switch. `dlp release rollback` undoes it.
    """
    body: dict[str, object] = {}
    if netns or percent:
        body["canary"] = {"netns": netns or [], "percent": percent}
    _tell(_change(version, "activate", body, api, token), json=json)


def rollback(
    version: Annotated[
        int | None, typer.Argument(min=1, help="The one in force, unless given.", metavar="VERSION")
    ] = None,
    *,
    reason: Annotated[
        str, typer.Option("--reason", help="For those who ask later why.", metavar="TEXT")
    ] = "",
    api: Api = "",
    token: Token = "",
    json: Json = False,
) -> None:
    """Take a release out of force: a shadow or canary first, else the live one.

    What was live before it is live again, at last the policy file's packs.
    """
    if version is None:
        found = {one.get("state"): one.get("version") for one in items(ask(api, token, "releases"))}
        chosen = found.get("canary") or found.get("shadow") or found.get("live")
        if chosen is None:
            raise UsageError("no release is in force", remedy="`dlp release list` shows all")
        version = int(chosen)
    _tell(_change(version, "rollback", {"reason": reason}, api, token), json=json)


def _change(
    version: int, change: str, body: dict[str, object], api: str, token: str
) -> dict[str, Any]:
    path = f"releases/{version}/{change}"
    return ask(api, token, path, method="POST", body=body, timeout_s=PATIENCE_S)


def _tell(release: dict[str, Any], *, json: bool) -> None:
    if json:
        print_json(release)
        return
    parts = [f"release {release.get('version')}: {release.get('state')}"]
    canary = release.get("canary")
    if canary:
        chosen = [*canary.get("netns", ())]
        chosen += [f"{canary['percent']} %"] if canary.get("percent") else []
        parts.append(f"for {', '.join(chosen)}")
    parts.append(f"{release.get('signatures')} signatures")
    if release.get("reason"):
        parts.append(str(release["reason"]))
    typer.echo(", ".join(parts))


def _when(seconds: Any) -> str:
    return clock(float(seconds)) if seconds is not None else ""


def _archive(path: Path) -> Archive:
    from dlp.releases import archive  # noqa: PLC0415

    raw = read_file(path)
    return archive.read(raw, max_size=len(raw))
