"""The command that tries signatures: on their samples, on text, on captured traffic."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlp.cli.output import Json, print_json, print_table
from dlp.errors import UsageError

if TYPE_CHECKING:
    from dlp.signatures.image import KernelImage
    from dlp.signatures.pack import Pack
    from dlp.trial.samples import Tried

EXAMPLES = (
    "dlp signatures test",
    "dlp signatures test ./my-pack.yaml --junit results.xml",
    "dlp signatures test ./my-pack.yaml --text sample.log --pcap traffic.pcapng",
    "dlp signatures test ./my-pack.yaml --profile --json",
)

_Packs = Annotated[
    list[str] | None, typer.Argument(help="Packs by name or path.", metavar="[PACK|PATH...]")
]
_Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Take the packs of a policy file.", metavar="FILE"),
]
_Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        help="kernel (root), model, or auto: the kernel where it can be had.",
        metavar="NAME",
    ),
]
_Junit = Annotated[
    Path | None, typer.Option("--junit", help="Write JUnit XML there.", metavar="FILE")
]
_Pcap = Annotated[
    list[Path] | None,
    typer.Option("--pcap", help="Try captured traffic (pcap, pcapng); repeatable.", metavar="FILE"),
]
_Text = Annotated[
    list[Path] | None,
    typer.Option("--text", help="Try a file's bytes as one stream; repeatable.", metavar="FILE"),
]
_Profile = Annotated[
    bool, typer.Option("--profile", help="Tell what each signature costs on these bytes.")
]
_TELL_S = 10.0


def try_(
    packs: _Packs = None,
    *,
    engine: _Engine = "auto",
    pcap: _Pcap = None,
    text: _Text = None,
    profile: _Profile = False,
    junit: _Junit = None,
    config: _Config = None,
    json: Json = False,
) -> None:
    """Try samples, text and traffic.

    Without --pcap, --text and --profile, every sample of the packs is sent whole, cut in two at
    every byte, and byte by byte: through the kernel programs where this process may load them,
    else through the model of them. Messages name signature, sample and cut, never a sample's
    text. The exit code is 1 if a sample fails, or if traffic or text holds a match.
    """
    from dlp.cli.packs import load_set  # noqa: PLC0415
    from dlp.trial.choice import Wanted  # noqa: PLC0415

    if engine not in set(Wanted):
        raise UsageError(f"there is no engine {engine!r}", remedy=f"one of {', '.join(Wanted)}")
    loaded, image = load_set(config, packs or ())
    wanted = Wanted(engine)
    if not (pcap or text or profile):
        _try_samples(loaded, image, wanted, junit, as_json=json)
        return
    if junit:
        raise UsageError("--junit tells of samples", remedy="leave out --pcap, --text, --profile")
    if profile:
        _profile(image, wanted, pcap or (), text or (), as_json=json)
    else:
        _read(image, wanted, pcap or (), text or (), as_json=json)


def _try_samples(
    packs: Sequence[Pack],
    image: KernelImage,
    wanted: Any,
    junit: Path | None,
    *,
    as_json: bool,
) -> None:
    from dlp.trial.choice import engine_for  # noqa: PLC0415
    from dlp.trial.report import junit as junit_of  # noqa: PLC0415
    from dlp.trial.report import summary  # noqa: PLC0415
    from dlp.trial.samples import try_samples  # noqa: PLC0415

    chosen, why = engine_for(image, wanted)
    with closing(chosen):
        tried = list(_progress(try_samples(chosen, packs, image), len(image.signatures)))
    total = summary(chosen.name, tried)
    if junit:
        _write(junit, junit_of(chosen.name, tried))
    if as_json:
        print_json(total | {"why_not_kernel": why})
    else:
        for one in tried:
            for failure in one.failures:
                typer.echo(f"FAIL {failure}")
        engine = chosen.name + (f": {why}" if why else "")
        typer.echo(
            f"{'FAIL' if total['failed'] else 'OK'}: {total['signatures']} signatures, "
            f"{total['samples']} samples, {total['streams']} streams, "
            f"{total['failed']} signatures failed, {total['seconds']:.1f} s ({engine})"
        )
    raise typer.Exit(1 if total["failed"] else 0)


def _read(
    image: KernelImage,
    wanted: Any,
    pcaps: Iterable[Path],
    texts: Iterable[Path],
    *,
    as_json: bool,
) -> None:
    from dlp.trial.choice import engine_for  # noqa: PLC0415
    from dlp.trial.traffic import read_sources, sources  # noqa: PLC0415

    given = sources(pcaps, texts)
    chosen, why = engine_for(image, wanted)
    with closing(chosen):
        read = read_sources(chosen, given)
    matches = sum(len(one.matches) for one in read)
    if as_json:
        print_json({"engine": chosen.name, "why_not_kernel": why, "sources": read})
    else:
        print_table(
            ("signature", "value", "length", "where"),
            [
                (match.signature, match.masked, match.length, match.where)
                for one in read
                for match in one.matches
            ],
            empty="no match",
        )
        for one in read:
            typer.echo(
                f"{one.file}: {one.streams} streams, {one.bytes} bytes, {len(one.matches)} "
                f"matches{one.told()} ({chosen.name})"
            )
    raise typer.Exit(1 if matches else 0)


def _profile(
    image: KernelImage,
    wanted: Any,
    pcaps: Iterable[Path],
    texts: Iterable[Path],
    *,
    as_json: bool,
) -> None:
    from dlp.trial.profile import profile_of  # noqa: PLC0415
    from dlp.trial.traffic import sources  # noqa: PLC0415

    profile = profile_of(image, sources(pcaps, texts), wanted)
    if as_json:
        print_json(profile)
        return
    print_table(
        (
            "signature",
            "decided",
            "candidates",
            "per MB",
            "matched",
            "check failed",
            "work",
            "share",
        ),
        [
            (
                one.signature,
                one.decided,
                one.candidates,
                one.candidates_per_mb,
                one.confirmed,
                one.failed,
                one.work,
                f"{one.share:.1%}",
            )
            for one in profile.signatures
            if one.candidates
        ],
        empty="no signature had a candidate",
    )
    for line in profile.lines():
        typer.echo(line)


def _progress(tried: Iterator[Tried], total: int) -> Iterator[Tried]:
    """Tell on standard error how far it is: at once on a terminal, else now and then."""
    terminal, last, failed = sys.stderr.isatty(), time.monotonic(), 0
    for number, one in enumerate(tried, 1):
        failed += bool(one.failures)
        now = time.monotonic()
        if now - last >= (0.2 if terminal else _TELL_S):
            last = now
            line = f"{number} of {total} signatures, {failed} failed"
            sys.stderr.write(f"\r{line}\033[K" if terminal else f"{line}\n")
            sys.stderr.flush()
        yield one
    if terminal:
        sys.stderr.write("\r\033[K")


def _write(file: Path, data: bytes) -> None:
    try:
        file.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from error
