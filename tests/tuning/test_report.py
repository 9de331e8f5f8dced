"""What a study leaves behind says what is better, by how much, and of nobody."""

import csv

import optuna
import pytest
import yaml
from optuna.trial import TrialState, create_trial

from bmenet.config import flatten, with_values
from bmenet.runtime.errors import VolumeError
from bmenet.runtime.files import read_json
from bmenet.tuning.report import BEST_FILE, PAGE_FILE, by_subject, look_at, paired_gains, write_report
from bmenet.tuning.study import open_study
from bmenet.tuning.trial import CASES
from tests.tuned import VALIDATION, outcome, plan_of, run_trials, scaled

WEIGHTS = ("quality", {"psnr_brain": 1.0, "hfen_brain": 10.0})


def _trial(**subjects):
    """Return a complete trial: of a subject a PSNR and an HFEN, for each of its codes."""
    cases = {
        f"{subject} {code}": {"psnr_brain": psnr, "hfen_brain": hfen}
        for subject, found in subjects.items()
        for code, (psnr, hfen) in zip(("111", "000"), found, strict=False)
    }
    return create_trial(value=0.0, user_attrs={CASES: cases})


def test_gains_are_paired_by_subject():
    # The subjects differ by far more than what is gained, in every one of them alike.
    before = _trial(a=[(20.0, 0.5)], b=[(30.0, 0.3)], c=[(40.0, 0.1)])
    after = _trial(c=[(41.0, 0.05)], a=[(21.0, 0.45)], b=[(31.0, 0.25)])
    gains = paired_gains(after, before, WEIGHTS, 200, 1)
    assert gains["psnr_brain"].mean == gains["psnr_brain"].low == gains["psnr_brain"].high == 1.0
    assert gains["hfen_brain"].low == pytest.approx(0.05)
    assert gains["quality"].mean == pytest.approx(1.5)
    assert gains == paired_gains(after, before, WEIGHTS, 200, 1)
    worse = paired_gains(before, after, WEIGHTS, 200, 1)
    assert worse["psnr_brain"].mean == -1.0
    assert worse["hfen_brain"].mean < 0  # of which less is better


def test_codes_of_a_subject_are_no_samples_of_their_own():
    cases = _trial(a=[(20.0, 0.5), (30.0, 0.5)], b=[(10.0, 0.5), (20.0, 0.1)]).user_attrs[CASES]
    assert by_subject(cases)["a"] == {"psnr_brain": 25.0, "hfen_brain": 0.5}
    assert by_subject(cases)["b"] == {"psnr_brain": 15.0, "hfen_brain": pytest.approx(0.3)}


@pytest.fixture
def study(plan):
    """Seven trials: the present values, one that failed, one that was interrupted and its retry, and more."""

    def broken(*_):
        raise VolumeError(f"{plan.layout.clean(VALIDATION[0])}: expected a volume; got none")

    def stopped(*_):
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        run_trials(plan, scaled, broken, stopped)
    return run_trials(plan, *[scaled] * 4)


def test_the_report_has_everything_and_names_nobody(plan, study, tmp_path):
    found = look_at(plan, study)
    folder = tmp_path / "report"
    write_report(plan, study, found, folder)
    names = {path.name for path in folder.iterdir()}
    assert {"trials.csv", "metrics.json", "study.json", BEST_FILE, PAGE_FILE, "best.png", "history.png"} <= names
    for path in folder.iterdir():
        content = path.read_bytes()
        assert b"canary" not in content, path.name
        assert str(plan.layout.root).encode() not in content, path.name

    best = yaml.safe_load((folder / BEST_FILE).read_text())
    assert best == study.best_trial.params == found.values
    assert flatten(with_values(plan.config, best)).items() >= best.items()
    complete = study.get_trials(states=(TrialState.COMPLETE,))  # those that failed may have had a stronger guidance
    assert best["sampling.guidance.scale"] == max(trial.params["sampling.guidance.scale"] for trial in complete)

    with open(folder / "trials.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["state"] for row in rows] == ["complete", "failed", "put back", *["complete"] * 4]
    assert rows[1]["reason"].endswith("expected a volume; got none")
    assert float(rows[0]["quality"]) == plan.config.sampling.guidance.scale
    assert rows[0]["sampling.compose"] == "residual"

    summary = read_json(folder / "study.json")
    assert summary["states"] == {"complete": 5, "pruned": 0, "failed": 1, "put_back": 1}
    assert (summary["default"]["trial"], summary["best"]["trial"]) == (0, study.best_trial.number)
    assert summary["gains"]["psnr_brain"]["mean"] == pytest.approx(study.best_value - study.trials[0].value)
    assert summary["front"] is None
    assert read_json(folder / "metrics.json")["best"] == study.best_value


def test_without_a_complete_trial_there_is_no_best_and_without_the_values_before_no_comparison(plan):
    study = open_study(plan)
    found = look_at(plan, study)
    assert (found.best, found.default, found.gains, found.values) == (None, None, {}, {})
    study.tell(study.ask(), state=TrialState.FAIL)
    run_trials(plan, scaled)
    found = look_at(plan, study)
    assert (found.best.number, found.default, found.gains) == (1, None, {})


def test_a_person_may_choose_another_trial_of_the_front(tuned, tmp_path):
    plan = plan_of(tuned, tune__objectives=["quality", "seconds"])
    reached = [(1.0, 5.0), (3.0, 9.0), (2.0, 1.0), (0.0, 9.0)]
    study = run_trials(plan, *[lambda *_, g=gain, s=seconds: outcome(g, g, seconds=s) for gain, seconds in reached])
    assert look_at(plan, study).best.number == 1
    found = look_at(plan, study, study.trials[2])
    assert found.values == study.trials[2].params
    write_report(plan, study, found, tmp_path / "report")
    summary = read_json(tmp_path / "report" / "study.json")
    assert sorted(summary["front"]) == [1, 2]
    assert summary["best"]["trial"] == 2
    assert optuna.study.StudyDirection.MINIMIZE in study.directions
