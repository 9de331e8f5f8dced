"""The stage `evaluate` says at once when there is nothing to evaluate."""

import pytest

from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.evaluation import tissue
from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.result import Result
from bmenet.imaging.figures import shown_slices
from bmenet.imaging.volume import save_unit_volume
from bmenet.runtime.errors import ConfigError, VolumeError
from bmenet.runtime.files import read_json, write_json, write_text
from pipelines import evaluate
from tests.registered import save_registered


def test_no_test_subject_and_a_code_that_was_not_degraded_are_refused_at_once(workspace):
    layout = Layout()
    write_json(layout.split, {"train": ["sub-01"], "validation": ["sub-02"], "test": []})
    with pytest.raises(ConfigError, match=r"split\.test: expected at least one subject; got none"):
        evaluate.main()
    write_json(layout.split, {"train": ["sub-01"], "validation": ["sub-02"], "test": ["sub-03"]})
    layout.registered.mkdir(parents=True)
    layout.clean("sub-03").write_bytes(b"")
    with pytest.raises(VolumeError, match=r"data/degraded: expected every test subject .*; \['111'\] are missing"):
        evaluate.main()
    assert not (workspace / "mlflow").exists()


def test_tissues_join_the_metrics_of_their_case_and_the_page_takes_every_setting(workspace, phantom, monkeypatch):
    """The stage as it is wired, from cases to reports; the restorations and the segmenter are stand-ins."""
    layout = Layout()
    params = workspace / "params.yaml"
    params.write_text(params.read_text().replace("  weights: weights ", "  weights: elsewhere "))
    config = load_config()
    assert config.evaluate.weights == "elsewhere"
    write_json(layout.split, {"train": ["sub-01"], "validation": ["sub-02"], "test": ["sub-03"]})
    save_registered(layout, "sub-03", phantom)
    save_unit_volume(layout.degraded("sub-03", "111"), phantom)
    write_text(layout.report("degrade") / "calibration.png", "a picture")
    asked = {}

    def evaluate_case(subject, code, methods, layout, weights, sampling, seed, is_kept):
        assert weights == layout.root / "elsewhere"
        asked[code] = (methods, is_kept)
        for method in methods[1:]:
            save_unit_volume(layout.restored(subject, code, method), phantom)
        metrics = dict.fromkeys(METRICS, 0.5)
        return [Result(subject, code, method, metrics, 1.0, shown_slices(phantom.data)) for method in methods]

    def compare_tissues(subject, cases, segmenter, layout):
        return {case: {"dice.csf": 0.9 if case == ("111", "coarse") else 0.8, "dice.mean": 0.8} for case in cases}

    def run_here(function, items, description):
        return {name: function(*arguments) for name, arguments in items}, []

    monkeypatch.setattr(evaluate, "evaluate_case", evaluate_case)
    monkeypatch.setattr(tissue, "compare_tissues", compare_tissues)
    for module in (evaluate, tissue):
        monkeypatch.setattr(module, "run_parallel", run_here)
    evaluate.main()
    assert asked["000"] == (["degraded", "n4", "coarse", "fine"], True)
    assert asked["111"] == (["degraded", "n4", "coarse", "fine", "fine_decode"], True)
    summary = read_json(layout.report("evaluate") / "summary.json")
    assert summary["coarse"]["111"]["dice.csf"]["mean"] == 0.9
    assert summary["degraded"]["000"]["dice.csf"]["mean"] == 0.8
    assert "dice.csf" not in summary["fine_decode"]["111"]
    page = (layout.report("evaluate") / "report.html").read_text()
    assert "coarse.learning_rate" in page
    assert f">{config.seed}<" in page
