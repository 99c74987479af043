"""The bench removes its own namespaces and no others."""

import pytest

from bench import namespaces
from bench.namespaces import BenchError


def test_a_foreign_namespace_is_never_removed():
    """A name without the bench's prefix is refused before anything runs."""
    with pytest.raises(BenchError, match="not the bench's"):
        namespaces.remove("web")


def test_a_failed_command_tells_its_last_words():
    """Whoever runs the bench sees why, not only that."""
    with pytest.raises(BenchError, match="ip link show"):
        namespaces.run("ip", "link", "show", "dlpbench-none")
