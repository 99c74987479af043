"""What the tests of trials look for."""

from dlp.signatures.image import KernelImage

CARD = b"4111 1111 1111 1111"


def number_of(image: KernelImage, id_: str) -> int:
    """A signature's index in its image."""
    return next(index for index, one in enumerate(image.signatures) if one.id == id_)
