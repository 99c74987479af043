"""The kernel programs agree with the model, on a hundred thousand streams (a guest: a thousand).

Those are of a core of the signatures; fewer are of many signatures, as are connections.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import pytest

from dlp.resources import bpf_dir
from tests.datapath.conftest import require_root
from tests.oracle import campaign, mutants, sockets
from tests.oracle.harness import Kernel
from tests.oracle.mutants import MUTANTS

GUEST = bool(os.environ.get("DLP_GUEST"))  # emulated: some 30 times slower
CASES = 1_000 if GUEST else 100_000
BROAD = 200 if GUEST else 20_000
# Each has programs of its own to be verified, which takes a guest minutes.
PROCESSES = 1 if GUEST else os.cpu_count() or 1
SEED = 20_241_101
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    """Processes for both campaigns."""
    require_root()
    with campaign.workers(PROCESSES) as found:
        yield found


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """Programs for connections, whatever the stride."""
    require_root()
    with Kernel() as found:
        yield found


@pytest.mark.kernel
def test_kernel_equals_model(pool: Executor):
    """Every match is reported in the segment that completes it, and nothing else is."""
    total = campaign.run(pool, SEED, CASES, lambda _: None)

    shown = "\n".join(map(str, total.disagreements[:10]))
    assert not total.disagreements, f"{len(total.disagreements)} disagreements:\n{shown}"
    assert CASES == total.cases
    assert total.matches > CASES
    # Of a guest's thousand, half a per cent would be five: chance alone can exceed that.
    assert total.over_budget < (10 if GUEST else CASES // 200)


@pytest.mark.kernel
def test_kernel_equals_model_on_many(pool: Executor):
    """The same with many more signatures side by side."""
    total = campaign.run(pool, SEED, BROAD, lambda _: None, broad=True)

    shown = "\n".join(map(str, total.disagreements[:10]))
    assert not total.disagreements, f"{len(total.disagreements)} disagreements:\n{shown}"
    assert BROAD == total.cases
    assert total.matches > BROAD
    assert total.over_budget < (10 if GUEST else BROAD // 200)


@pytest.mark.kernel
@pytest.mark.parametrize("stride", campaign.STRIDES)
def test_sockets_equal_model(kernel: Kernel, stride: int | None):
    """The same over real connections: state with the socket, tokens, the guard behind them."""
    count = 20 if GUEST else 700

    total = sockets.campaign(kernel, SEED, count, stride)

    shown = "\n".join(map(str, total.disagreements[:10]))
    assert not total.disagreements, f"{len(total.disagreements)} disagreements:\n{shown}"
    assert count == total.cases + total.recut
    assert total.matches > count
    assert total.recut + total.over_budget < max(3, count // 50)


@pytest.mark.kernel
def test_command_ends_with_the_count():
    """`python -m tests.oracle` says how many cases it ran, on its last line."""
    require_root()

    done = subprocess.run(
        [sys.executable, "-m", "tests.oracle", "--cases", "200", "--jobs", "1", "--seed", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1200 if GUEST else 120,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert done.stdout.splitlines()[-1].startswith("oracle: 200 cases, ")
    assert done.stdout.endswith(" matches, 0 disagreements\n")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_fits_the_source(mutant: mutants.Mutant):
    """A fault's text is in the source once; a source that moved on needs the fault anew."""

    text = (bpf_dir() / mutant.file).read_text()

    assert text != mutants.broken(mutant, text)


def test_stale_mutant_is_an_error():
    """A fault that no longer applies is not passed over."""

    with pytest.raises(mutants.StaleMutantError, match="0 times"):
        mutants.broken(MUTANTS[0], "int other;")


@pytest.mark.parametrize("broad", [False, True])
def test_every_stride_has_its_share(broad):
    """The built-in set's own stride and the two others each get blocks of cases."""
    jobs = list(campaign.jobs_of(SEED, CASES, broad=broad))

    assert CASES == sum(job.last - job.first for job in jobs)
    assert {broad} == {job.broad for job in jobs}
    assert set(campaign.STRIDES) == {job.stride for job in jobs}
    for stride in campaign.STRIDES:
        firsts = [job.first for job in jobs if job.stride == stride]
        assert list(range(0, len(firsts) * campaign.BLOCK, campaign.BLOCK)) == firsts
