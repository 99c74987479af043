"""Commands on the keys of releases, and on the trust that names them. No gateway is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlp.cli.expiry import Expires, expiry
from dlp.cli.files import read_file, write_file
from dlp.cli.output import Json, examples, print_json, print_table
from dlp.errors import ReleaseError, UsageError

if TYPE_CHECKING:
    from dlp.releases.keys import PrivateKey, PublicKey
    from dlp.releases.trust import Trust

_Name = Annotated[str, typer.Argument(help="Whose it is.", metavar="NAME")]
_Dir = Annotated[Path, typer.Option("--dir", help="Where both files go.", metavar="DIR")]
_Files = Annotated[list[Path], typer.Argument(help="NAME.pub or NAME.key.", metavar="FILE...")]
_Trust = Annotated[Path, typer.Argument(help="A trust.", metavar="TRUST")]
_Out = Annotated[Path, typer.Option("--out", help="The file to make.", metavar="FILE")]
_RootKeys = Annotated[
    list[Path] | None,
    typer.Option("--root-key", help="May change the trust; repeatable.", metavar="FILE.pub"),
]
_ReleaseKeys = Annotated[
    list[Path] | None,
    typer.Option("--release-key", help="May sign releases; repeatable.", metavar="FILE.pub"),
]
_RootThreshold = Annotated[
    int | None,
    typer.Option("--root-threshold", min=1, help="So many must sign a change.", metavar="N"),
]
_Threshold = Annotated[
    int | None, typer.Option("--threshold", min=1, help="So many must sign a release.", metavar="N")
]
Key = Annotated[Path, typer.Option("--key", help="A private key.", metavar="FILE.key")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="Its first line opens the key.", metavar="FILE"),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        name="keys",
        help="Keys that sign releases, and the trust that names them.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command(
        "create",
        epilog=examples(
            "dlp keys create alice", "dlp keys create root --dir /media/usb --passphrase"
        ),
    )(create)
    group.command("show", epilog=examples("dlp keys show alice.pub bob.pub --json"))(show)
    trust = typer.Typer(
        name="trust",
        help="Which keys may sign, how many must, and until when.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    trust.command(
        "init",
        epilog=examples(
            "dlp keys trust init --root-key root.pub --release-key alice.pub "
            "--release-key bob.pub --threshold 2 --expires 365d --out root.1.json",
        ),
    )(init)
    trust.command(
        "change",
        epilog=examples(
            "dlp keys trust change root.1.json --release-key carol.pub --remove 3f9a51c2 "
            "--expires 365d --out root.2.json",
        ),
    )(change)
    trust.command("sign", epilog=examples("dlp keys trust sign root.1.json --key root.key"))(sign)
    trust.command("show", epilog=examples("dlp keys trust show root.2.json --json"))(show_trust)
    group.add_typer(trust)
    app.add_typer(group)


def create(
    name: _Name,
    *,
    directory: _Dir = Path(),
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Ask for one that protects the key.")
    ] = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make a key pair: NAME.key, for its owner's eyes only, and NAME.pub to hand out."""
    from dlp.releases import keys  # noqa: PLC0415

    secret = b""
    if passphrase_file:
        secret = _passphrase(passphrase_file)
    elif passphrase:
        secret = _asked("passphrase (not shown): ")
        if secret != _asked("once more: "):
            raise UsageError("the two differ", remedy="try again")
    made = keys.create(directory, name, passphrase=secret)
    typer.echo(f"{made.public.id}  {directory / name}{keys.PUBLIC}")


def show(files: _Files, *, json: Json = False) -> None:
    """Show the ids of keys. Private halves are not shown, and none under a passphrase is opened."""
    from dlp.releases import keys  # noqa: PLC0415

    rows = []
    for path in files:
        private = path.suffix == keys.PRIVATE
        public = keys.read_private(path).public if private else keys.read_public(path)
        kind = "private" if private else "public"
        rows.append({"file": str(path), "id": public.id, "type": "ed25519", "half": kind})
    if json:
        print_json(rows)
        return
    columns = ("file", "id", "type", "half")
    print_table(columns, [[row[name] for name in columns] for row in rows], empty="no keys")


def init(
    *,
    root_key: _RootKeys = None,
    release_key: _ReleaseKeys = None,
    root_threshold: _RootThreshold = None,
    threshold: _Threshold = None,
    expires: Expires,
    out: _Out,
) -> None:
    """Make a trust: version 1, not yet signed.

    Without --release-key the root keys sign releases too. A root key is needed only where the
    trust changes: keep it apart.
    """
    from dlp.releases import trust  # noqa: PLC0415

    roots = _publics(root_key)
    if not roots:
        raise UsageError("no --root-key", remedy="`dlp keys create root` makes one")
    made = trust.create(
        roots,
        _publics(release_key) or roots,
        root_threshold=root_threshold or 1,
        threshold=threshold or 1,
        expires=expiry(expires),
    )
    write_file(out, made.to_bytes())
    typer.echo(f"{out}: to be signed: `dlp keys trust sign {out} --key FILE.key`")


def change(
    file: _Trust,
    *,
    root_key: _RootKeys = None,
    release_key: _ReleaseKeys = None,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", help="Id of a key, or its beginning; repeatable.", metavar="ID"),
    ] = None,
    root_threshold: _RootThreshold = None,
    threshold: _Threshold = None,
    expires: Expires,
    out: _Out,
) -> None:
    """Make the next version of a trust, not yet signed: more keys, fewer, a later end.

    It counts once enough root keys of the old version and of the new one have signed it.
    """
    from dlp.releases import trust  # noqa: PLC0415

    old = _read_trust(file)
    made = trust.change(
        old,
        add_root=_publics(root_key),
        add_release=_publics(release_key),
        remove=remove or (),
        root_threshold=root_threshold,
        threshold=threshold,
        expires=expiry(expires),
    )
    write_file(out, made.to_bytes())
    typer.echo(
        f"{out}: version {made.signed.version}, to be signed by root keys of {file} and its own"
    )


def sign(file: _Trust, *, key: Key, passphrase_file: PassphraseFile = None) -> None:
    """Sign a trust."""
    from dlp.releases import trust  # noqa: PLC0415

    found = _read_trust(file)
    trust.sign(found, private_key(key, passphrase_file))
    write_file(file, found.to_bytes(), over=True)
    needed = found.signed.roles[trust.ROOT]
    signed = len(found.signatures.keys() & set(needed.keyids))
    typer.echo(f"{file}: {signed} of {needed.threshold} signatures of its own root keys")


def show_trust(file: _Trust, *, json: Json = False) -> None:
    """Show the keys of a trust, its thresholds and end, and who signed it."""
    from dlp.releases import trust  # noqa: PLC0415

    found = _read_trust(file)
    root = found.signed
    roles = {"root": root.roles[trust.ROOT], "release": root.roles[trust.RELEASES]}
    shown: dict[str, Any] = {
        "version": root.version,
        "expires": root.expires.isoformat().replace("+00:00", "Z"),
        "thresholds": {name: role.threshold for name, role in roles.items()},
        "keys": [
            {"id": keyid, "may": [name for name, role in roles.items() if keyid in role.keyids]}
            for keyid in sorted(root.keys)
        ],
        "signed_by": sorted(found.signatures),
    }
    if json:
        print_json(shown)
        return
    typer.echo(f"version {shown['version']}, expires {shown['expires']}")
    for name, role in roles.items():
        what = "change this trust" if name == "root" else "sign a release"
        typer.echo(f"{role.threshold} of {len(role.keyids)} keys {what}")
    rows = [
        [one["id"], ", ".join(one["may"]), "yes" if one["id"] in found.signatures else "no"]
        for one in shown["keys"]
    ]
    print_table(("key", "may sign", "signed this"), rows, empty="no keys")


def private_key(path: Path, passphrase_file: Path | None) -> PrivateKey:
    """A private key; its passphrase is asked for on a terminal where it has one."""
    import sys  # noqa: PLC0415

    from dlp.releases import keys  # noqa: PLC0415

    if passphrase_file:
        return keys.read_private(path, passphrase=_passphrase(passphrase_file))
    try:
        return keys.read_private(path)
    except ReleaseError as error:
        if error.reason != "passphrase" or not sys.stdin.isatty():
            raise
        return keys.read_private(path, passphrase=_asked(f"passphrase of {path} (not shown): "))


def _publics(files: list[Path] | None) -> list[PublicKey]:
    from dlp.releases import keys  # noqa: PLC0415

    return [keys.read_public(path) for path in files or ()]


def _read_trust(path: Path) -> Trust:
    from dlp.releases import trust  # noqa: PLC0415

    return trust.parse(read_file(path), str(path))


def _passphrase(path: Path) -> bytes:
    secret = read_file(path, 4096).split(b"\n", 1)[0].removesuffix(b"\r")
    if not secret:
        raise UsageError(f"{path} begins with an empty line", remedy="write the passphrase there")
    return secret


def _asked(prompt: str) -> bytes:
    import getpass  # noqa: PLC0415

    secret = getpass.getpass(prompt).encode()
    if not secret:
        raise UsageError("an empty passphrase", remedy="leave --passphrase out for none")
    return secret
