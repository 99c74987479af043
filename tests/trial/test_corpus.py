"""The built-in corpus: ordinary, of four kinds, always the same."""

import json

from dlp.trial.corpus import SIZE, corpus


def test_four_kinds():
    """Source, JSON, a log, base64: of the same size each."""
    source, records, log, encoded = (one.segments[0] for one in corpus())

    assert {SIZE} == set(map(len, (source, records, log, encoded)))
    assert b"def " in source
    assert "uuid" in json.loads(records.split(b"\n")[0])
    assert b"HTTP/1.1" in log
    assert b" " not in encoded


def test_the_same_each_time():
    assert corpus() == corpus()
