"""The file of a release."""

from __future__ import annotations

import io
import tarfile

import pytest

from dlp.errors import ReleaseError
from dlp.releases import archive
from dlp.releases.archive import read, write

FILES = ([b"{1}", b"{2}"], b"{}", {"b": b"x" * 513, "a": b""})


def tar(*entries, form=tarfile.USTAR_FORMAT):
    """A tar as any program may make it; entries are TarInfo and content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        for entry, data in entries:
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def named(name, kind=tarfile.REGTYPE, **more):
    entry = tarfile.TarInfo(name)
    entry.type = kind
    for key, value in more.items():
        setattr(entry, key, value)
    return entry


def refused(raw, **options):
    with pytest.raises(ReleaseError) as caught:
        read(raw, **options)
    return caught.value


def test_round_trip():
    """What is written is read, files in their order."""
    found = read(write(*FILES))

    assert ((b"{1}", b"{2}"), b"{}", FILES[2]) == (found.roots, found.release, found.packs)
    assert ["a", "b"] == list(found.packs)


def test_is_tar():
    """It is a tar that tar reads."""
    with tarfile.open(fileobj=io.BytesIO(write(*FILES))) as made:
        names = made.getnames()

    assert ["root/1.json", "root/2.json", "release.json", "packs/a.yaml", "packs/b.yaml"] == names


def test_every_cut():
    """Cut short anywhere, it says so."""
    raw = write([], b"{}", {"a": b"abc"})
    for size in range(len(raw)):
        assert "truncated" == refused(raw[:size]).reason


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (tarfile.LNKTYPE, "a link"),
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.DIRTYPE, "a directory"),
        (tarfile.FIFOTYPE, "a pipe"),
        (tarfile.GNUTYPE_SPARSE, "no file"),
    ],
)
def test_no_regular_file(kind, told):
    """Links, devices, directories, pipes and the rest are refused by name."""
    raw = tar((named("packs/a.yaml", kind, linkname="/etc/passwd"), b""))

    assert told in refused(raw).message


@pytest.mark.parametrize(
    "name",
    [
        "../packs/a.yaml",
        "/etc/cron.d/x",
        "packs/../../x.yaml",
        "packs/a/b.yaml",
        "packs/A.yaml",
        "packs/a.yaml.sh",
        "release.json/x",
        "root/0.json",
        "root/01.json",
        "packs/" + "a" * 33 + ".yaml",
        "note.txt",
    ],
)
def test_paths(name):
    """Only the paths that a release has."""
    assert "malformed" == refused(tar((named(name), b"x"))).reason


def test_order_and_duplicates():
    """A name that is there twice, or files in another order, are refused."""
    pack, release = (named("packs/a.yaml"), b"x"), (named("release.json"), b"{}")
    for entries in ([release, pack, pack], [pack, release], [release, release]):
        assert "out of order" in refused(tar(*entries)).message


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_extensions(form):
    """Long names and extended headers of other formats are refused."""
    raw = tar((named("packs/" + "a" * 120 + ".yaml"), b"x"), form=form)

    assert "malformed" == refused(raw).reason


def test_metadata_of_files():
    """Owner, mode and time are always the same: nothing hides in them."""
    for more in ({"mtime": 1}, {"uid": 1}, {"mode": 0o755}, {"uname": "root"}):
        raw = tar((named("release.json", **more), b"{}"))
        assert "header" in refused(raw).message


def test_bombs():
    """Sizes that are not there, too many files and too many bytes end at once."""
    huge = named("packs/a.yaml")
    huge.size = 7 << 30
    raw = huge.tobuf(tarfile.USTAR_FORMAT)
    many = write([], b"{}", {f"p{number}": b"" for number in range(300)})

    assert "truncated" == refused(raw + bytes(1024)).reason
    assert "too many" in refused(many).message
    assert "too_large" == refused(write([], b"{}", {"a": bytes(2000)}), max_size=1000).reason


def test_behind_the_end():
    """Nothing may stand behind the end, nor between two files."""
    raw = write([], b"{}", {"a": b"abc"})

    assert "behind its end" in refused(raw + b"x").message
    assert "behind its end" in refused(raw + bytes(512)).message
    at = raw.index(b"abc") + 100
    assert "between" in refused(raw[:at] + b"x" + raw[at + 1 :]).message


def test_empty():
    """An archive without metadata, and what is no archive at all."""
    assert archive.METADATA in refused(bytes(1024)).message
    assert "truncated" == refused(b"").reason
    assert "malformed" == refused(b"PK\x03\x04" + bytes(2000)).reason


@pytest.mark.parametrize("raw", [b"hello", b"pack: own\n", b"PK\x03\x04", b"\x1f\x8b" + bytes(100)])
def test_something_else(raw):
    """A short file of another kind is not taken for the beginning of an archive."""
    with pytest.raises(ReleaseError) as caught:
        archive.read(raw)
    assert "malformed" == caught.value.reason


@pytest.mark.parametrize("raw", [b"", b"ro", b"root/1.json", b"release.json" + bytes(100)])
def test_beginning(raw):
    """The beginning of an archive is told to be cut short."""
    with pytest.raises(ReleaseError) as caught:
        archive.read(raw)
    assert "truncated" == caught.value.reason
