"""Names of past releases, on disk: events outlive the process that loaded their release.

The kernel speaks in numbers; an event that waited in the ring while no daemon ran is
named by what was written down when its release was made live.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dlp.policy import PolicySet
from dlp.signatures.image import ImageSignature, KernelImage

FILE = Path("/run/dlp/releases.json")
_KEPT = 8


@dataclass(frozen=True, slots=True)
class SignatureName:
    """What an event needs of a signature: its name, and how its value is masked."""

    id: str
    severity: str
    mask_head: int
    mask_tail: int

    @classmethod
    def of(cls, signature: ImageSignature) -> SignatureName:
        return cls(signature.id, signature.severity, signature.mask_head, signature.mask_tail)


@dataclass(frozen=True, slots=True)
class ReleaseNames:
    """By number: signatures as in the image, policies as in the kernel's table."""

    number: int
    signatures: tuple[SignatureName, ...]
    policies: tuple[str, ...]

    @classmethod
    def of(cls, number: int, image: KernelImage, policies: PolicySet) -> ReleaseNames:
        names = tuple(SignatureName.of(signature) for signature in image.signatures)
        return cls(number, names, policies.names)


def read(path: Path = FILE) -> tuple[ReleaseNames, ...]:
    """What was written; nothing where there is no readable file."""
    try:
        return tuple(
            ReleaseNames(
                item["number"],
                tuple(SignatureName(*signature) for signature in item["signatures"]),
                tuple(item["policies"]),
            )
            for item in json.loads(path.read_text())
        )
    except (OSError, ValueError, TypeError, KeyError):
        return ()


def add(names: ReleaseNames, path: Path = FILE) -> None:
    """Write down one more release; the oldest ones go."""
    kept = [known for known in read(path) if known.number != names.number][-_KEPT + 1 :]
    rows = [
        {
            "number": one.number,
            "signatures": [
                [name.id, name.severity, name.mask_head, name.mask_tail] for name in one.signatures
            ],
            "policies": one.policies,
        }
        for one in [*kept, names]
    ]
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(rows))
    partial.replace(path)
