"""Memory of the tables as the bench tells it: what the kernel charges for all of them."""

import pytest

from bench import gateway, tables
from bench.report import Results
from bench.signatures import PACK, pack_text, tokens
from dlp.signatures.pack import load_pack

pytestmark = [pytest.mark.kernel, pytest.mark.long]  # all built-in packs


@pytest.fixture
def packs(tmp_path):
    """Two sets of twenty tokens, no signature in both."""
    found = []
    for name, members in (("live", tokens(20)), ("shadow", tokens(40)[20:])):
        (tmp_path / name).mkdir()
        file = tmp_path / name / f"{PACK}.yaml"
        file.write_text(pack_text(members))
        found.append(load_pack(file))
    return found


def test_memory(packs, tmp_path):
    """Both measures are there, within their limit, and the built-in packs take more."""
    results = Results({})
    live, shadow = packs
    with gateway.unpinned():
        tables.memory((live,), (shadow,), tmp_path, results)
    few, many = (results.measures[name].median for name in ("tables.shadow", "tables.builtin"))

    assert 1 < few < many <= 8
    assert "all" == results.tables[0].rows[-1][0]
    assert [few, many] == [cell.median for cell in results.tables[0].rows[-1][1]]
