from dataclasses import replace

import pytest

from bmenet.evaluation.markdown import as_markdown, results_text, tables
from bmenet.evaluation.result import results_table
from bmenet.evaluation.summary import summarise, summarise_gains


@pytest.fixture
def segmented(results):
    tissues = {"dice.csf": 0.8, "volume_change.csf": -2.5, "volume_error.csf": 2.5}
    return [replace(r, metrics=r.metrics | tissues) if r.code in ("000", "111") else r for r in results]


def tables_of(results):
    table = results_table(results)
    found = tables(summarise(table, 500, 1), {"coarse": summarise_gains(table, 500, 1)}, table)
    return {table.title: table for table in found}


@pytest.fixture
def found(segmented):
    return {title: table.cells.to_numpy().tolist() for title, table in tables_of(segmented).items()}


def test_results_text_says_what_was_evaluated_and_holds_every_table(segmented):
    found = tables_of(segmented)
    text = results_text("Eight codes.", 3, list(found.values()))
    assert text.startswith("# Results\n\nEight codes. Means over 3 unseen test subjects")
    assert [line[4:] for line in text.splitlines() if line.startswith("### ")] == list(found)
    assert "| BMENet, coarse | 27.00 [26.00, 28.00] |" in text
    assert as_markdown(found["Dice overlap with the clean scan's segmentation, code 111"]).splitlines()[:3] == [
        "| method | CSF ↑ |",
        "| --- | ---: |",
        "| degraded input | 0.800 [0.800, 0.800] |",
    ]


def test_every_table_of_metrics_shows_what_becomes_of_clean_input(found):
    shown = [rows for title, rows in found.items() if title.startswith(("Everything", "Dice", "Change", "Size"))]
    assert len(shown) == 5
    for rows in shown:
        assert [row[0] for row in rows][-2:] == ["clean in: N4", "clean in: BMENet, coarse"]
    assert found["Everything measured, code 111"][-1][1] == "39.00 [38.00, 40.00]"


def test_times_are_those_of_the_code_and_not_repeated_for_clean_input(found):
    assert [row[-1] for row in found["Everything measured, code 111"]] == ["2.0", "2.0", "2.0", "", ""]


def test_gains_are_paired_signed_and_given_degradation_by_degradation(found, segmented):
    assert found["What BMENet, coarse gains, code 111"][1][:2] == ["N4", "+5.00 [+5.00, +5.00]"]
    title = "BMENet, coarse minus each other method by degradation, brain PSNR (dB) ↑"
    assert list(tables_of(segmented)[title].cells) == ["BMENet, coarse minus", "000", "111", "010", "all"]
    # Nothing can gain on the clean volume itself.
    assert found["PSNR by degradation, whole grid / brain (dB)"][0].count("identical") == 1
    assert {row[0]: bool(row[1]) for row in found[title]} == {"degraded input": False, "N4": True}


def test_tissues_show_dice_and_change_of_volume_of_the_segmented_codes(found):
    assert found["Change of volume against the clean scan (%), code 111"][0][1] == "-2.5 [-2.5, -2.5]"
    assert found["Size of that change, whatever its sign (%), code 111"][0][1] == "2.5 [2.5, 2.5]"
    assert not any("code 010" in title for title in found)


def test_a_method_that_was_not_segmented_has_no_row(segmented):
    for result in segmented:
        if result.method == "n4":
            result.metrics.pop("dice.csf", None)
    dice = tables_of(segmented)["Dice overlap with the clean scan's segmentation, code 111"]
    assert dice.cells["method"].to_list() == ["degraded input", "BMENet, coarse", "clean in: BMENet, coarse"]
