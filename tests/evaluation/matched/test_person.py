from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest

from bmenet.data.layout import Layout
from bmenet.data.mr_art import MrArt
from bmenet.evaluation import methods as methods_module
from bmenet.evaluation.baselines import BASELINES
from bmenet.evaluation.matched import volumes
from bmenet.evaluation.matched.person import MatchedEvaluation, evaluate_person
from bmenet.evaluation.methods import Restorations
from bmenet.evaluation.metrics.fidelity import psnr
from bmenet.registration import AlignmentError, Registration
from bmenet.restoration.fine_net import DEFAULT_SAMPLING
from bmenet.runtime.errors import WeightsError
from bmenet.runtime.files import write_text
from tests.matched_heads import REGISTRATION, bright_brain, identity, moving_head, still_head, turned_head, write_people

METHODS = ("degraded", "n4", "coarse")
CODES = ("standard", "headmotion1", "headmotion2")


class DimmingNet:
    """Stands in for a trained network, and answers half as bright as it was asked."""

    def restore(self, degraded):
        return 0.5 * degraded


@pytest.fixture(scope="module")
def scans():
    return {"standard": still_head(), "headmotion1": turned_head(), "headmotion2": moving_head()}


@pytest.fixture
def evaluation(tmp_path, scans, monkeypatch) -> MatchedEvaluation:
    monkeypatch.setattr(volumes, "find_brain", bright_brain)
    monkeypatch.setattr(volumes, "register", identity)
    monkeypatch.setitem(BASELINES, "n4", lambda degraded: degraded.with_data(degraded.data**0.9))
    monkeypatch.setattr(methods_module.CoarseNet, "load_once", lambda folder: DimmingNet())
    write_text(tmp_path / "weights" / "coarse" / "model.json", "weights, first version")
    root = write_people(tmp_path / "there", {"sub-01": scans}, {"sub-01": {"headmotion1": 1, "headmotion2": 3}})
    layout = Layout(tmp_path)
    source = MrArt.at(root, layout.downloads)
    return MatchedEvaluation(source, METHODS, 4, REGISTRATION, layout.weights_folder, layout, DEFAULT_SAMPLING)


@pytest.fixture
def cheap(monkeypatch):
    """Spare the alignment and all metrics but one: what is kept does not depend on them."""
    alignment = Registration(np.eye(4), 0.9, "stub")
    monkeypatch.setattr(volumes, "align_pair", lambda moved, still, start, config: alignment)
    monkeypatch.setattr(methods_module, "measure", lambda one, still, *_: {"psnr_brain": psnr(one.data, still.data)})


@pytest.fixture
def restored(monkeypatch) -> list[str]:
    """The methods that really ran, in order."""
    ran: list[str] = []
    real = Restorations.__call__
    monkeypatch.setattr(Restorations, "__call__", lambda self, method: ran.append(method) or real(self, method))
    return ran


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The scans that were really read, in order."""
    locations: list[str] = []
    real = MrArt.read
    monkeypatch.setattr(MrArt, "read", lambda self, place, report: locations.append(place) or real(self, place, report))
    return locations


def table(outcome, metric="psnr_brain"):
    return {(result.code, result.method): result.metrics[metric] for result in outcome.results}


def test_evaluate_person_measures_what_motion_costs_and_pose_and_brightness_do_not(evaluation):
    outcome = evaluate_person("sub-01", evaluation)
    found = table(outcome)
    assert list(found) == [(code, method) for code in CODES for method in METHODS]
    assert (outcome.missing, outcome.failures) == ((), {})
    assert outcome.scores == {"headmotion1": 1, "headmotion2": 3}
    assert found["standard", "degraded"] == 100
    assert found["headmotion1", "degraded"] > 35, "that head was turned, and did not move"
    assert found["headmotion2", "degraded"] < found["headmotion1", "degraded"] - 5
    for code in CODES:
        assert found[code, "coarse"] == pytest.approx(found[code, "degraded"], abs=1e-3), "half as bright"
    assert found["standard", "n4"] < 40, "another contrast counts"


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize(
    ("change", "restored_again", "read_again"),
    [
        ("weights", ["coarse"] * 3, []),
        ("a moved scan", [*METHODS], ["headmotion1"]),
        ("settings that make the same volumes", [], [*CODES]),
        ("damage", [*METHODS] * 3, [*CODES]),
    ],
)
def test_what_something_changed_behind_is_done_again(
    evaluation, restored, read, tmp_path, scans, change, restored_again, read_again
):
    first = table(evaluate_person("sub-01", evaluation))
    assert (restored, len(read)) == ([*METHODS] * 3, 3)
    restored.clear()
    read.clear()
    if change == "weights":
        write_text(evaluation.weights / "coarse" / "model.json", "weights, second version")
    elif change == "a moved scan":
        write_people(tmp_path / "there", {"sub-01": {"headmotion1": scans["headmotion2"]}})
    elif change.startswith("settings"):
        evaluation = replace(evaluation, registration=REGISTRATION.model_copy(update={"min_similarity": 0.4}))
    else:
        for path in (evaluation.layout.root / "data").rglob("sub-01*.n*"):
            path.write_bytes(path.read_bytes()[:400])
    found = table(evaluate_person("sub-01", evaluation))
    assert restored == restored_again
    assert [place.split("acq-")[1].split("_")[0] for place in read] == read_again
    assert found.keys() == first.keys()
    assert (found == first) == (change != "a moved scan")


@pytest.mark.usefixtures("cheap")
def test_a_pair_that_cannot_be_aligned_does_not_stop_the_other_and_without_a_still_scan_there_is_none(
    evaluation, monkeypatch, tmp_path
):
    answers = [AlignmentError("resembles nobody", np.eye(4)), Registration(np.eye(4), 0.9, "stub")]
    monkeypatch.setattr(volumes, "align_pair", Mock(side_effect=answers))
    outcome = evaluate_person("sub-01", evaluation)
    assert {code for code, _ in table(outcome)} == {"standard", "headmotion2"}
    assert outcome.failures == {"headmotion1": "resembles nobody"}
    (tmp_path / "there" / "sub-01" / "anat" / "sub-01_acq-standard_T1w.nii.gz").unlink()
    outcome = evaluate_person("sub-01", evaluation)
    assert (outcome.results, outcome.missing) == ([], ("standard",))


def test_weights_must_lie_in_a_folder_called_coarse(evaluation, tmp_path):
    given = (evaluation.source, METHODS, tmp_path / "mine", evaluation.layout, DEFAULT_SAMPLING, 0)
    with pytest.raises(WeightsError, match="expected weights in a folder called 'coarse'"):
        MatchedEvaluation.of_weights(*given)
