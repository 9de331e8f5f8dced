from dataclasses import replace

import pytest

from bmenet.evaluation.result import results_table
from bmenet.evaluation.summary import summarise, summarise_gains
from bmenet.evaluation.tables import results_text, tables

DICE = "Dice overlap with the clean scan's segmentation, code 111"


@pytest.fixture
def segmented(results):
    tissues = {"dice.csf": 0.8, "volume_change.csf": -2.5, "volume_error.csf": 2.5}
    return [replace(r, metrics=r.metrics | tissues) if r.code in ("000", "111") else r for r in results]


def tables_of(results):
    table = results_table(results)
    return tables(summarise(table, 500, 1), {"coarse": summarise_gains(table, 500, 1, "coarse")}, table)


def cells(results):
    return {table.title: table.cells.to_numpy().tolist() for table in tables_of(results)}


def test_results_text_holds_every_table(segmented):
    found = tables_of(segmented)
    text = results_text("Eight codes.", 3, found)
    assert [line[4:] for line in text.splitlines() if line.startswith("### ")] == [table.title for table in found]
    assert "| BMENet, coarse | 27.00 [26.00, 28.00]" in text
    assert "| degraded input | 0.800 [0.800, 0.800] |" in text


def test_every_table_of_metrics_shows_what_becomes_of_clean_input(segmented):
    found = cells(segmented)
    shown = [rows for title, rows in found.items() if title.startswith(("Everything", "Dice", "Change", "Size"))]
    assert len(shown) == 5
    for rows in shown:
        assert [row[0] for row in rows][-2:] == ["clean in: N4", "clean in: BMENet, coarse"]
    measured = found["Everything measured, code 111"]
    assert measured[-1][1] == "39.00 [38.00, 40.00]"
    assert [row[-1] for row in measured] == ["2.0", "2.0", "2.0", "", ""], "seconds are those of the code"


def test_gains_are_paired_and_nothing_can_gain_on_the_clean_volume_itself(segmented):
    found = cells(segmented)
    assert found["What BMENet, coarse gains, code 111"][1][:2] == ["N4", "+5.00 [+5.00, +5.00]"]
    by_code = found["BMENet, coarse minus each other method by degradation, brain PSNR (dB) ↑"]
    assert {row[0]: bool(row[1]) for row in by_code} == {"degraded input": False, "N4": True}
    assert found["PSNR by degradation, whole grid / brain (dB)"][0].count("identical") == 1


def test_tissues_have_rows_only_for_what_was_segmented(segmented):
    for result in segmented:
        if result.method == "n4":
            result.metrics.pop("dice.csf", None)
    found = cells(segmented)
    assert [row[0] for row in found[DICE]] == ["degraded input", "BMENet, coarse", "clean in: BMENet, coarse"]
    assert found["Change of volume against the clean scan (%), code 111"][0][1] == "-2.5 [-2.5, -2.5]"
    assert not any("code 010" in title for title in found)
