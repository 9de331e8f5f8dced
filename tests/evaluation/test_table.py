import csv
import io

from bmenet.evaluation.summary import summarise, summarise_gains
from bmenet.evaluation.table import markdown, metric_label, plot_csv, volumes_csv
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


def test_markdown_shows_means_intervals_gains_and_times(results):
    text = markdown(summarise(results, 500, 1), {"coarse": summarise_gains(results, 500, 1)}, results)
    assert "### code 111" in text
    assert "### all codes" in text
    row = next(line for line in text.splitlines() if line.startswith("| BMENet, coarse | 27.00 ["))
    assert row.endswith("| 2.0 |")
    assert "| N4 | +5.00 [+5.00, +5.00] |" in text
    assert "3 unseen test subjects" in text


def test_metric_label_names_the_brain():
    assert metric_label("ssim_brain") == "brain SSIM"
    assert metric_label("hfen") == "HFEN"
