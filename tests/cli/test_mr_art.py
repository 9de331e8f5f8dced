import json

import pytest
import typer
from typer.testing import CliRunner

from bmenet.cli.mr_art import mr_art
from bmenet.evaluation.baselines import BASELINES
from bmenet.evaluation.matched import volumes
from tests.matched_heads import bright_brain, identity, moving_head, still_head, turned_head, write_people

app = typer.Typer()
app.command()(mr_art)


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


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_mr_art_reports_on_real_pairs_and_says_who_is_skipped(root, workspace):
    answer = run("--root", root)
    assert answer.exit_code == 0
    assert answer.stdout == "reports/mr_art/results.md\n"
    assert "sub-000148: not in the data set: standard, headmotion2; skipped" in answer.stderr
    record = json.loads((workspace / "reports" / "mr_art" / "metrics.json").read_text())
    assert list(record["metrics"]) == ["degraded", "n4", "n4_nlm", "coarse"]
    assert list(record["people"]) == ["headmotion1", "headmotion2", "moved", "score-1", "score-3", "standard"]
    psnr = {code: record["metrics"]["degraded"][code]["psnr_brain"]["mean"] for code in record["people"]}
    assert psnr["standard"] == 100 > psnr["headmotion1"] > psnr["headmotion2"]
    assert "## the still scan itself: do no harm" in (workspace / "reports" / "mr_art" / "results.md").read_text()


def test_mr_art_prints_its_numbers(root):
    answer = run("--root", root, "--subjects", 1, "--baselines", "none", "--out", "elsewhere", "--json")
    assert answer.exit_code == 0
    assert list(json.loads(answer.stdout)["metrics"]) == ["degraded", "coarse"]


def test_mr_art_reports_on_the_others_when_one_person_fails(root, workspace):
    write_people(workspace / "there", {"sub-000103": {}, "sub-000159": {}})
    folder = workspace / "there" / "sub-000159" / "anat"
    folder.mkdir(parents=True)
    for label in ("standard", "headmotion1"):
        (folder / f"sub-000159_acq-{label}_T1w.nii.gz").write_bytes(b"no scan")
    answer = run("--root", root, "--baselines", "none")
    assert answer.exit_code == 1
    reason = answer.stderr.splitlines()[-1]
    assert reason.startswith("bmenet: mr-art: 1 failed, and the report is about the others: sub-000159 (VolumeError: ")
    record = json.loads((workspace / "reports" / "mr_art" / "metrics.json").read_text())
    assert list(record["failures"]) == ["sub-000159"]
    assert record["people"]["standard"] == 1


@pytest.mark.parametrize("baselines", ["n5", "n4,n4", "n4;n4_nlm", ""])
def test_mr_art_refuses_baselines_that_are_none(root, baselines):
    answer = run("--root", root, "--baselines", baselines)
    assert answer.exit_code == 2
    assert "--baselines" in answer.stderr


def test_mr_art_without_weights_says_what_to_do(root, workspace):
    answer = run("--root", root, "--model", workspace / "nowhere")
    assert answer.exit_code == 1
    assert "train first" in answer.stderr


def test_mr_art_of_a_folder_that_is_not_there_exits_with_one_line(root):
    answer = run("--root", "nowhere")
    assert answer.exit_code == 1
    assert len(answer.stderr.splitlines()) == 1


def test_mr_art_tells_where_the_data_come_from():
    text = " ".join(CliRunner().invoke(app, ["--help"], terminal_width=200).output.split())
    assert all(fact in text for fact in ("ds004173", "CC0", "10.1038/s41597-022-01694-8", "GB in all"))
