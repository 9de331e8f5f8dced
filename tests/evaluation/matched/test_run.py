from types import SimpleNamespace

import pytest

from bmenet.evaluation.matched import run
from bmenet.evaluation.matched.person import PersonOutcome
from bmenet.evaluation.matched.run import evaluate_people
from bmenet.runtime.errors import BMENetError, VolumeError

EVALUATION = SimpleNamespace(seed=0, source=SimpleNamespace(bucket=SimpleNamespace(base="/home/alice/ds004173")))
DONE = [SimpleNamespace(code="standard"), SimpleNamespace(code="headmotion1")]


@pytest.fixture
def report(monkeypatch):
    """What the report is written from, instead of the report."""
    seen = []
    monkeypatch.setenv("BMENET_WORKERS", "1")
    monkeypatch.setattr(
        run, "write_matched_report", lambda outcomes, failures, folder, seed: seen.append(failures) or failures
    )
    return seen


@pytest.fixture
def answers(monkeypatch):
    """Subject to what becomes of it."""
    table = {}

    def evaluate(subject, evaluation):
        if isinstance(table[subject], Exception):
            raise table[subject]
        return table[subject]

    monkeypatch.setattr(run, "evaluate_person", evaluate)
    return table


def test_one_failure_does_not_stop_the_others(report, answers, tmp_path):
    answers |= {"sub-01": VolumeError("no brain"), "sub-02": PersonOutcome(DONE)}
    assert evaluate_people(list(answers), EVALUATION, tmp_path) == {"sub-01": "VolumeError: no brain"}


def test_a_failed_pair_is_named_with_its_person(report, answers, tmp_path):
    answers["sub-01"] = PersonOutcome(DONE, failures={"headmotion2": "resembles nobody"})
    evaluate_people(["sub-01"], EVALUATION, tmp_path)
    assert report == [{"sub-01 headmotion2": "resembles nobody"}]


def test_the_report_does_not_say_where_the_data_set_lies(report, answers, tmp_path):
    answers |= {"sub-01": VolumeError("/home/alice/ds004173/sub-01/x.nii: cut"), "sub-02": PersonOutcome(DONE)}
    evaluate_people(list(answers), EVALUATION, tmp_path)
    assert report == [{"sub-01": "VolumeError: sub-01/x.nii: cut"}]


def test_with_every_moved_scan_failed_there_is_no_report(report, answers, tmp_path):
    answers["sub-01"] = PersonOutcome(DONE[:1], failures={"headmotion1": "resembles nobody"})
    with pytest.raises(BMENetError, match=r"got none of 1: sub-01 headmotion1 \(resembles nobody\)"):
        evaluate_people(["sub-01"], EVALUATION, tmp_path)
    assert report == []


def test_who_is_skipped_is_told_with_the_reason(report, answers, tmp_path, capsys):
    answers |= {
        "sub-01": PersonOutcome(DONE, ("headmotion1",)),
        "sub-02": PersonOutcome([], ("standard",)),
        "sub-03": PersonOutcome([], ("headmotion1", "headmotion2")),
    }
    evaluate_people(list(answers), EVALUATION, tmp_path)
    told = capsys.readouterr().err
    assert "sub-01: not in the data set: headmotion1\n" in told
    assert "sub-02: not in the data set: standard; skipped: no still scan to compare with" in told
    assert "sub-03: not in the data set: headmotion1, headmotion2; skipped: no moved scan to restore" in told
    assert "4 of 9 scans are not in the data set" in told


def test_with_nobody_evaluated_there_is_no_report(report, answers, tmp_path):
    answers |= {"sub-01": VolumeError("no brain"), "sub-02": PersonOutcome([], ("standard",))}
    with pytest.raises(BMENetError, match=r"got none of 2: sub-01 \(VolumeError: no brain\)"):
        evaluate_people(list(answers), EVALUATION, tmp_path)
    assert report == []
