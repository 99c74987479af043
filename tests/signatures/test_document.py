from pathlib import Path

import pytest

from dlp.errors import PackError
from dlp.signatures import document

FILE = Path("pack.yaml")


def test_scalars():
    """Plain words become numbers, truth values or nothing by YAML 1.2; the rest stays text."""
    raw = b"a: 1\nb: true\nc: ~\nd: NO\ne: 1.0\nf: '1'\ng: 007\nh: yes\n"

    assert {
        "a": 1,
        "b": True,
        "c": None,
        "d": "NO",
        "e": "1.0",
        "f": "1",
        "g": "007",
        "h": "yes",
    } == document.parse(raw, FILE).value


def test_places():
    """Each key has its line; a missing one has its parent's."""
    source = document.parse(b"a:\n  - b: 1\n    c:\n      - x\n      - y\n", FILE)

    assert str(source.place(("a", 0, "c", 1))) == "pack.yaml:5: a[0].c[1]"
    assert str(source.place(("a", 0, "z"))) == "pack.yaml:2: a[0].z"


@pytest.mark.parametrize(
    ("raw", "line", "message"),
    [
        (b"a: &x 1\n", 1, "anchors"),
        (b"a: 1\nb: *x\n", 2, "anchors"),
        (b"a: 1\nb: 2\na: 3\n", 3, "twice"),
        (b"a: !!python/object:os.system x\n", 1, "tags"),
        (b"a: [1\n", 2, "is not YAML"),
        (b"a: 1\n---\nb: 2\n", 2, "one YAML document"),
        (b"a: 1\nb: \xff\n", 2, "UTF-8"),
        (b"? [a]\n: 1\n", 1, "plain words"),
        (b"[" * 40 + b"]" * 40, 1, "nested"),
        (b"", None, "empty"),
        (b"a: \x01\n", None, "is not YAML"),
    ],
)
def test_refused(raw, line, message):
    """What could surprise or blow up is refused, with its line."""
    with pytest.raises(PackError, match=message) as caught:
        document.parse(raw, FILE)

    assert caught.value.place is not None
    assert line == caught.value.place.line


def test_too_large(tmp_path):
    """A file over the limit is refused before it is parsed."""
    file = tmp_path / "big.yaml"
    file.write_bytes(b"#" * (document.LARGEST + 1))

    with pytest.raises(PackError, match="larger"):
        document.read(file)


def test_missing_file(tmp_path):
    """A file that is not there is a pack error that names it."""
    with pytest.raises(PackError, match=r"gone\.yaml: cannot be read"):
        document.read(tmp_path / "gone.yaml")
