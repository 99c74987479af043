"""Arithmetic of the parts that measure guard and hold."""

from types import SimpleNamespace

import pytest

from bench import enforcing
from bench.namespaces import BenchError


def test_quantiles():
    """The 99th percentile of few samples is the largest."""
    samples = [float(n) for n in range(1, 101)]

    assert 51.0 == enforcing._quantile(samples, 0.5).median
    assert 100.0 == enforcing._quantile(samples, 0.99).median
    assert 3.0 == enforcing._quantile([1.0, 3.0, 2.0], 0.99).median


def test_a_program_that_did_not_run_is_an_error():
    """Nothing divided by nothing must not read as no cost."""
    once = SimpleNamespace(run_ns=500, runs=2)

    with pytest.raises(BenchError, match="did not run"):
        enforcing._a_run(once, once)
    assert 250.0 == enforcing._a_run(SimpleNamespace(run_ns=0, runs=0), once)
