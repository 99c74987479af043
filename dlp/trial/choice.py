"""Which engine a trial runs on."""

from __future__ import annotations

import enum

from dlp.errors import KernelError, MissingDependency, PrivilegeError
from dlp.signatures.image import KernelImage
from dlp.trial.engine import Engine
from dlp.trial.modelled import ModelEngine


class Wanted(enum.StrEnum):
    """AUTO: the kernel where it loads the programs, else the model."""

    AUTO = "auto"
    KERNEL = "kernel"
    MODEL = "model"


def engine_for(image: KernelImage, wanted: Wanted) -> tuple[Engine, str]:
    """An engine, which the caller closes; and why it is not the kernel, or empty.

    Raises DlpError where the kernel was asked for and cannot be had.
    """
    if wanted is Wanted.MODEL:
        return ModelEngine(image), "asked for"
    # Needs libbpf, which hosts without the kernel path may lack.
    from dlp.trial.kernel import KernelEngine  # noqa: PLC0415

    try:
        return KernelEngine(image), ""
    except (PrivilegeError, MissingDependency, KernelError) as error:
        if wanted is Wanted.KERNEL:
            raise
        return ModelEngine(image), error.message
