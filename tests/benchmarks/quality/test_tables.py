import io

import numpy as np
import pytest
from rich.console import Console

from benchmarks.quality.cost import Cost, cost_table
from benchmarks.quality.tables import clean_table, codes_table, published_table, rows_of
from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.result import Result

PSNR = {("111", "degraded"): 20.0, ("111", "n4_nlm"): 24.0, ("111", "coarse"): 26.0}
PSNR |= {("010", "degraded"): 30.0, ("010", "nlm"): 31.0, ("010", "coarse"): 33.0}
PSNR |= {("000", "degraded"): 100.0, ("000", "coarse"): 48.0}


@pytest.fixture
def results():
    """Three subjects, each 1 dB better than the one before; tissues of the clean scan's result."""
    return [
        Result(subject, code, method, _metrics(psnr + better, code, method), 2.0, {"axial": np.zeros((2, 2))})
        for better, subject in enumerate(("sub-01", "sub-02", "sub-03"))
        for (code, method), psnr in PSNR.items()
    ]


def _metrics(psnr, code, method):
    tissues = ("csf", "grey_matter", "white_matter") if (code, method) == ("000", "coarse") else ()
    return dict.fromkeys(METRICS, 0.5) | {"psnr": psnr} | {f"volume_change.{tissue}": -1.5 for tissue in tissues}


def _text(table):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_rows_hold_means_with_intervals_and_one_subject_has_none(results):
    row = next(row for row in rows_of(results, 500, 0) if (row.code, row.method) == ("111", "coarse"))
    assert row.subjects == 3
    assert row.metrics["psnr"].mean == pytest.approx(27)
    assert 26 <= row.metrics["psnr"].low < 27 < row.metrics["psnr"].high <= 28
    assert row.as_dict()["metrics"]["seconds"]["mean"] == 2
    text = _text(published_table(rows_of(results[: len(PSNR)], 100, 0), ["coarse"]))
    assert "20.00" in text
    assert "[20.00" not in text


def test_tables_show_ours_beside_the_published_and_the_clean_scan_apart(results, monkeypatch):
    monkeypatch.setattr("benchmarks.quality.tables.find_spec", lambda name: None)
    rows = rows_of(results, 100, 0)
    published, by_code, clean = map(_text, (published_table(rows, ["coarse"]), codes_table(rows), clean_table(rows)))
    assert all(told in published for told in ("21.00", "26.90", "EIP4MOCO (published)", "[20.00, 22.00]"))
    assert "010 noise" in by_code
    assert "000" not in by_code.replace("0.000", "")
    assert "-1.5" in clean
    assert "degraded input" not in clean
    assert "7.9" in _text(cost_table([Cost("coarse", 1.0, 9.0, 7.9, 1.1, None, None)]))
