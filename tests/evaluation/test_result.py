import csv
import io

from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.result import kept_or_made, results_table, volumes_csv
from bmenet.runtime.cache import CaseIndex
from bmenet.runtime.files import read_json, write_json


def test_kept_or_made_makes_again_what_is_damaged_or_from_something_else(tmp_path):
    made = []

    def ask(key):
        return kept_or_made(
            CaseIndex(tmp_path / "index"),
            tmp_path / "case.json",
            key,
            lambda: made.append(key) or {"value": len(made)},
            write_json,
            read_json,
        )

    assert [ask("a"), ask("a"), ask("b")] == [{"value": 1}, {"value": 1}, {"value": 2}]
    (tmp_path / "case.json").write_text("")
    assert ask("b") == {"value": 3}
    assert made == ["a", "b", "b"]


def test_volumes_csv_has_a_row_a_volume_and_nothing_where_nothing_was_measured(results):
    results[0].metrics["dice.csf"] = 0.75
    rows = list(csv.DictReader(io.StringIO(volumes_csv(results_table(results)))))
    assert list(rows[0]) == ["subject", "code", "method", *METRICS, "dice.csf", "seconds"]
    assert len(rows) == len(results)
    assert (rows[0]["psnr"], rows[0]["seconds"]) == ("20", "2.000")
    assert [row["dice.csf"] for row in rows[:2]] == ["0.75", ""]
