import csv
import io

from bmenet.evaluation.summary import summarise
from bmenet.evaluation.table import plot_csv, volumes_csv
from bmenet.metrics import METRICS


def test_volumes_csv_has_a_row_per_volume(results):
    rows = list(csv.DictReader(io.StringIO(volumes_csv(results))))
    assert len(rows) == len(results)
    assert list(rows[0]) == ["subject", "code", "method", *METRICS, "seconds"]
    assert float(rows[0]["psnr"]) == 20


def test_plot_csv_has_a_row_per_code_and_method(results):
    rows = list(csv.DictReader(io.StringIO(plot_csv(summarise(results, 100, 1)))))
    assert {(row["code"], row["method"]) for row in rows} >= {("111", "coarse"), ("all", "n4"), ("000", "degraded")}
    assert next(row["psnr"] for row in rows if (row["code"], row["method"]) == ("111", "coarse")) == "27.0000"


def test_volumes_csv_has_a_column_for_what_only_some_volumes_were_measured_for(results):
    results[0].metrics["dice.csf"] = 0.75
    rows = list(csv.DictReader(io.StringIO(volumes_csv(results))))
    assert [row["dice.csf"] for row in rows[:2]] == ["0.75", ""]
