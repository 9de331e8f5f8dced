import csv
import io

from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.summary import summarise
from bmenet.evaluation.table import dice_csv, psnr_csv, volumes_csv


def test_volumes_csv_has_a_row_per_volume(results):
    rows = list(csv.DictReader(io.StringIO(volumes_csv(results))))
    assert len(rows) == len(results)
    assert list(rows[0]) == ["subject", "code", "method", *METRICS, "seconds"]
    assert float(rows[0]["psnr"]) == 20


def test_psnr_csv_has_a_row_a_code_and_a_column_a_method(results):
    for result in results:
        result.metrics["psnr_brain"] = result.metrics["psnr"] - 3
    rows = {row["code"]: row for row in csv.DictReader(io.StringIO(psnr_csv(summarise(results, 100, 1))))}
    assert set(rows) == {"000", "010", "111"}
    assert (rows["111"]["degraded"], rows["111"]["coarse"]) == ("18.0000", "24.0000")
    assert rows["000"]["degraded"] == ""


def test_dice_csv_has_a_row_a_region_and_a_column_a_segmented_method(results):
    for result in results:
        if result.code == "111" and result.method != "n4":
            result.metrics["dice.csf"] = 0.75
    text = dice_csv(summarise(results, 100, 1), "111")
    assert text.splitlines() == ["region,degraded,coarse", "CSF,0.7500,0.7500"]


def test_volumes_csv_has_a_column_for_what_only_some_volumes_were_measured_for(results):
    results[0].metrics["dice.csf"] = 0.75
    rows = list(csv.DictReader(io.StringIO(volumes_csv(results))))
    assert [row["dice.csf"] for row in rows[:2]] == ["0.75", ""]
