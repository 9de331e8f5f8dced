"""The stage `publish` from bundle to champion, with models whose quality is known and a real registry."""

import json
import shutil

import pytest

from bmenet.data.layout import Layout
from bmenet.release.registry import CHALLENGER, CHAMPION, Registry
from bmenet.restoration.bundle import open_bundle
from bmenet.runtime.errors import BMENetError, TrackingError
from bmenet.runtime.files import read_json, write_json
from pipelines import publish
from tests.bundled import smoke_bundle
from tests.release.published import SUBJECTS, load_brightener, make_bundle, make_store, write_validation

LAYOUT = Layout()


@pytest.fixture
def stage(workspace, phantom, monkeypatch):
    """Return a function from a model's gain (1.25 is right) and a test figure to the decision."""
    make_store(workspace, monkeypatch)
    write_validation(phantom)
    monkeypatch.setattr(publish, "_load", load_brightener)

    def run(gain, test_psnr=30.0):
        shutil.rmtree(LAYOUT.bundle, ignore_errors=True)
        make_bundle(LAYOUT.bundle, str(gain))
        figures = {"degraded": {"psnr": 20.0}, "coarse": {"psnr": test_psnr, "dice.mean": 0.9}}
        write_json(LAYOUT.report("evaluate") / "metrics.json", figures)
        publish.main()
        return read_json(LAYOUT.report("publish") / "decision.json")

    return run


def _aliases():
    return {alias: version.number for version in Registry().versions() for alias in version.aliases}


def _check_run_of_the_first_version():
    """The model belongs to the stage's run, which has everything but names."""
    registry = Registry()
    (version,) = registry.versions()
    run = registry.client.get_run(registry.client.get_model_version("bmenet", "1").run_id)
    assert run.data.tags["stage"] == "publish"
    assert run.info.status == "FINISHED"
    assert run.data.tags["registry.version"] == "1"
    assert run.data.metrics["publish.is_promoted"] == 1
    assert run.data.metrics["test.coarse.psnr"] == 30
    parent = registry.client.get_run(run.data.tags["mlflow.parentRunId"])
    assert "bmenet.execution" in parent.data.tags
    assert {file.path for file in registry.client.list_artifacts(run.info.run_id, "reports/publish")} == {
        "reports/publish/decision.json",
        "reports/publish/metrics.json",
    }
    told = json.dumps([version.tags, run.data.tags, run.data.params])
    assert not [subject for subject in SUBJECTS if subject in told]


def test_a_better_model_takes_the_place_and_a_worse_one_does_not(stage):
    assert stage(1.1)["outcome"] == "promoted"
    assert _aliases() == {CHALLENGER: 1, CHAMPION: 1}
    _check_run_of_the_first_version()
    assert stage(1.2)["outcome"] == "promoted"
    assert _aliases() == {CHALLENGER: 2, CHAMPION: 2}
    decision = stage(1.0)
    assert (decision["outcome"], decision["after"]["version"]) == ("kept", 2)
    assert "worse than the champion: mean gain -" in decision["reasons"][0]
    assert _aliases() == {CHALLENGER: 3, CHAMPION: 2}
    numbers = read_json(LAYOUT.report("publish") / "metrics.json")
    assert numbers["is_promoted"] == 0
    assert numbers["candidate"] - numbers["champion"] == pytest.approx(numbers["gain.mean"])
    assert numbers["gain.low"] <= numbers["gain.mean"] <= numbers["gain.high"] < 0
    assert [version.tags["gate.decision"] for version in Registry().versions()] == ["promoted", "promoted", "kept"]


def test_the_same_bundle_again_is_not_registered_a_second_time_but_for_newer_code_to_serve_it(stage):
    stage(1.1)
    decision = stage(1.1)
    assert decision["reasons"] == ["nothing new: the champion is this very bundle"]
    assert [version.number for version in Registry().versions()] == [1]
    stage(1.0)
    assert stage(1.1)["candidate"]["version"] == 1
    assert _aliases() == {CHALLENGER: 1, CHAMPION: 1}
    code = LAYOUT.root / "mlflow" / "enhance_model.py"
    code.write_text(code.read_text() + "# newer\n")
    decision = stage(1.1)
    assert decision["reasons"] == ["the champion's bundle, with newer code to serve it"]
    assert _aliases() == {CHALLENGER: 3, CHAMPION: 3}


def test_test_figures_stand_beside_and_never_choose(stage):
    stage(1.1, test_psnr=20.0)
    assert stage(1.0, test_psnr=99.0)["outcome"] == "kept"
    decision = stage(1.2, test_psnr=1.0)
    assert decision["outcome"] == "promoted"
    assert not [name for name in json.dumps(decision).split('"') if name.startswith("test")]
    tags = Registry().versions()[2].tags
    assert (tags["test.coarse.psnr"], tags["test.coarse.dice.mean"]) == ("1", "0.9")
    assert "test.degraded.psnr" not in tags
    assert 28 < float(tags["validation.psnr_brain"]) < 34


def test_another_champion_meanwhile_is_compared_with_too_and_one_that_never_stays_ends_it(stage, monkeypatch):
    stage(1.1)
    stage(1.0)
    real, seen = Registry.settle, []

    def settle(registry, candidate, champion, *verdict):
        if not seen:
            registry.promote(2, "meanwhile")
        seen.append(champion.number)
        return real(registry, candidate, champion, *verdict)

    monkeypatch.setattr(Registry, "settle", settle)
    decision = stage(1.2)
    assert seen == [1, 2]
    assert (decision["before"]["version"], decision["after"]["version"]) == (2, 3)
    seen.clear()
    monkeypatch.setattr(Registry, "settle", lambda *decision: seen.append(decision))
    with pytest.raises(TrackingError, match=r"expected the champion to stay the same .* another one 5 times"):
        stage(1.24)
    assert len(seen) == 5


def test_what_is_measured_is_what_is_served():
    enhancer = publish._load(open_bundle(smoke_bundle()), "fine")
    assert enhancer.runtime == "onnx"
    assert enhancer.coarse.network.sessions.precision == "fp32"


def test_a_registry_that_cannot_be_reached_or_no_test_figures_stop_the_stage_before_any_work(stage, monkeypatch):
    with pytest.raises(BMENetError, match="expected the test figures, to stand beside"):
        publish.main()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(publish, "_load", lambda *_: pytest.fail("measured for nothing"))
    with pytest.raises(TrackingError, match="expected a model registry that answers"):
        stage(1.1)
    assert not LAYOUT.report("publish").exists()
