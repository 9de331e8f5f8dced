import json

import pytest

from bmenet.evaluation.baselines import BASELINES
from bmenet.evaluation.matched import volumes
from tests.matched_heads import bright_brain, identity, moving_head, still_head, turned_head, write_people


@pytest.fixture(scope="module")
def scans():
    return {"standard": still_head(), "headmotion1": turned_head(), "headmotion2": moving_head()}


@pytest.fixture
def root(workspace, weights, scans, monkeypatch):
    """Two people: one with all scans, one without a still scan."""
    monkeypatch.setenv("BMENET_WORKERS", "1")
    monkeypatch.setattr(volumes, "find_brain", bright_brain)
    monkeypatch.setattr(volumes, "register", identity)
    for name in ("n4", "n4_nlm"):
        monkeypatch.setitem(BASELINES, name, lambda degraded: degraded.with_data(degraded.data**0.9))
    people = {"sub-000103": scans, "sub-000148": {"headmotion1": scans["headmotion1"]}}
    return write_people(workspace / "there", people, {"sub-000103": {"headmotion1": 1, "headmotion2": 3}})


def test_mr_art_reports_on_real_pairs_and_says_who_is_skipped(bmenet, root, workspace):
    answer = bmenet("mr-art", "--root", root)
    assert answer.exit_code == 0
    assert answer.stdout == "reports/mr_art/results.md\n"
    assert "sub-000148: not in the data set: standard, headmotion2; skipped" in answer.stderr
    record = json.loads((workspace / "reports" / "mr_art" / "metrics.json").read_text())
    assert list(record["metrics"]) == ["degraded", "n4", "n4_nlm", "coarse"]
    assert list(record["people"]) == ["headmotion1", "headmotion2", "moved", "score-1", "score-3", "standard"]
    psnr = {code: record["metrics"]["degraded"][code]["psnr_brain"]["mean"] for code in record["people"]}
    assert psnr["standard"] == 100 > psnr["headmotion1"] > psnr["headmotion2"]
    assert (workspace / "reports" / "mr_art" / "results.md").exists()


def test_mr_art_prints_its_numbers(bmenet, root):
    answer = bmenet("mr-art", "--root", root, "--subjects", 1, "--baselines", "none", "--out", "elsewhere", "--json")
    assert answer.exit_code == 0
    assert list(json.loads(answer.stdout)["metrics"]) == ["degraded", "coarse"]


@pytest.mark.parametrize("baselines", ["n5", "n4,n4", ""])
def test_mr_art_refuses_baselines_that_are_none(bmenet, root, baselines):
    answer = bmenet("mr-art", "--root", root, "--baselines", baselines)
    assert answer.exit_code == 2
    assert "--baselines" in answer.stderr


def test_mr_art_without_data_or_weights_exits_with_one_line(bmenet, root, workspace):
    for options, reason in ((("--root", "nowhere"), "nowhere"), (("--model", workspace / "none"), "train first")):
        answer = bmenet("mr-art", "--root", root, *options)
        assert answer.exit_code == 1
        assert reason in answer.stderr
        assert len(answer.stderr.splitlines()) == 1
