from dataclasses import replace

import pytest

from bmenet.evaluation.markdown import results_text, tables
from bmenet.evaluation.summary import summarise, summarise_gains


@pytest.fixture
def segmented(results):
    return [
        replace(result, metrics=result.metrics | {"dice.csf": 0.8, "volume_change.csf": -2.5, "volume_error.csf": 2.5})
        if result.code in ("000", "111")
        else result
        for result in results
    ]


@pytest.fixture
def found(segmented):
    summary, gains = summarise(segmented, 500, 1), {"coarse": summarise_gains(segmented, 500, 1)}
    return {table.title: table for table in tables(summary, gains, segmented)}


def test_results_text_says_what_was_evaluated_and_holds_every_table(segmented, found):
    text = results_text(
        "Eight codes.", summarise(segmented, 500, 1), {"coarse": summarise_gains(segmented, 500, 1)}, segmented
    )
    assert text.startswith("# Results\n\nEight codes. Means over 3 unseen test subjects")
    assert [line[4:] for line in text.splitlines() if line.startswith("### ")] == list(found)
    assert "| BMENet, coarse | 27.00 [26.00, 28.00] |" in text


def test_every_table_of_metrics_shows_what_becomes_of_clean_input(found):
    shown = [table for title, table in found.items() if title.startswith(("Everything", "Dice", "Change", "Size"))]
    assert len(shown) == 5
    for table in shown:
        assert [row[0] for row in table.rows][-2:] == ["clean in: N4", "clean in: BMENet, coarse"]
    assert found["Everything measured, code 111"].rows[-1][1] == "39.00 [38.00, 40.00]"


def test_times_are_those_of_the_code_and_not_repeated_for_clean_input(found):
    rows = found["Everything measured, code 111"].rows
    assert [row[-1] for row in rows] == ["2.0", "2.0", "2.0", "", ""]


def test_gains_are_paired_and_signed(found):
    assert found["What BMENet, coarse gains, code 111"].rows[1][:2] == ["N4", "+5.00 [+5.00, +5.00]"]


def test_gains_are_given_degradation_by_degradation(found):
    (title,) = [title for title in found if title.startswith("BMENet, coarse minus") and "brain PSNR" in title]
    assert found[title].header == ["BMENet, coarse minus", "000", "111", "010", "all"]


def test_tissues_show_dice_and_change_of_volume_of_the_segmented_codes(found):
    dice = found["Dice overlap with the clean scan's segmentation, code 111"]
    assert dice.header == ["method", "CSF ↑"]
    assert dice.rows[0] == ["degraded input", "0.800 [0.800, 0.800]"]
    assert found["Change of volume against the clean scan (%), code 111"].rows[0][1] == "-2.5 [-2.5, -2.5]"
    assert found["Size of that change, whatever its sign (%), code 111"].rows[0][1] == "2.5 [2.5, 2.5]"
    assert not any("code 010" in title for title in found)


def test_what_was_not_measured_is_an_empty_cell(segmented):
    for result in segmented:
        if result.method == "n4":
            result.metrics.pop("dice.csf", None)
    gains = {"coarse": summarise_gains(segmented, 100, 1)}
    (dice,) = [
        table for table in tables(summarise(segmented, 100, 1), gains, segmented) if table.title.startswith("Dice")
    ]
    assert [row[0] for row in dice.rows] == ["degraded input", "BMENet, coarse", "clean in: BMENet, coarse"]


def test_nothing_is_said_to_gain_on_the_clean_volume_itself(found):
    by_code = found["PSNR by degradation, whole grid / brain (dB)"]
    assert by_code.rows[0][by_code.header.index("000")] == "identical"
    (title,) = [title for title in found if title.startswith("BMENet, coarse minus") and "brain PSNR" in title]
    gains = {row[0]: row[1] for row in found[title].rows}
    assert gains["degraded input"] == ""
    assert gains["N4"] != ""
