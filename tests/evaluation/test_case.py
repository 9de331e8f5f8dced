from types import SimpleNamespace

import numpy as np
import pytest

from bmenet.data.layout import Layout
from bmenet.evaluation import methods as methods_module
from bmenet.evaluation.baselines import BASELINES
from bmenet.evaluation.case import evaluate_case, load_restored
from bmenet.evaluation.methods import Restorations
from bmenet.imaging.volume import save_unit_volume
from bmenet.runtime.files import write_text

METHODS = ["degraded", "n4", "coarse"]


class ClippingEnhancer:
    """Stands in for a trained network: cuts intensities above 1."""

    runs = 0

    def restore(self, volume):
        ClippingEnhancer.runs += 1
        return volume.with_data(np.minimum(volume.data, 1))


@pytest.fixture
def layout(tmp_path, phantom, generator, monkeypatch) -> Layout:
    layout = Layout(tmp_path)
    noisy = np.abs(phantom.data + 0.1 * generator.standard_normal(phantom.data.shape))
    save_unit_volume(layout.clean("sub-01"), phantom)
    save_unit_volume(layout.degraded("sub-01", "010"), phantom.with_data(noisy))
    write_text(layout.weights("coarse") / "model.json", "weights, first version")
    monkeypatch.setitem(BASELINES, "n4", lambda degraded: degraded.with_data(degraded.data * 0.9))
    monkeypatch.setattr(methods_module, "_enhancer", lambda folder, digest: ClippingEnhancer())
    return layout


@pytest.fixture
def restored(monkeypatch) -> list[str]:
    """The methods that really ran, in order."""
    ran: list[str] = []
    real = Restorations.__call__

    def spy(restorations, method):
        ran.append(method)
        return real(restorations, method)

    monkeypatch.setattr(Restorations, "__call__", spy)
    return ran


def test_evaluate_case_measures_every_method(layout):
    results = evaluate_case("sub-01", "010", METHODS, layout)
    assert [result.method for result in results] == METHODS
    psnr = {result.method: result.metrics["psnr"] for result in results}
    assert psnr["degraded"] == pytest.approx(20, abs=1)
    assert psnr["coarse"] > psnr["degraded"]


def test_evaluate_case_measures_nothing_twice(layout, restored):
    first = evaluate_case("sub-01", "010", METHODS, layout)
    again = evaluate_case("sub-01", "010", METHODS, layout)
    assert restored == METHODS
    assert [result.metrics for result in again] == [result.metrics for result in first]
    assert [result.seconds for result in again] == [result.seconds for result in first]


def test_evaluate_case_with_new_weights_runs_only_the_network_again(layout, restored):
    evaluate_case("sub-01", "010", METHODS, layout)
    write_text(layout.weights("coarse") / "model.json", "weights, second version")
    evaluate_case("sub-01", "010", METHODS, layout)
    assert restored == [*METHODS, "coarse"]


def test_evaluate_case_with_another_degraded_volume_runs_everything_again(layout, restored, phantom):
    evaluate_case("sub-01", "010", METHODS, layout)
    save_unit_volume(layout.degraded("sub-01", "010"), phantom.with_data(phantom.data * 0.5))
    evaluate_case("sub-01", "010", METHODS, layout)
    assert restored == METHODS * 2


def test_evaluate_case_that_was_stopped_goes_on_where_it_was(layout, restored, monkeypatch):
    evaluate_case("sub-01", "010", ["degraded", "n4"], layout)
    evaluate_case("sub-01", "010", METHODS, layout)
    assert restored == METHODS


def test_evaluate_case_of_the_clean_code_takes_the_clean_volume_as_input(layout):
    (result,) = evaluate_case("sub-01", "000", ["degraded"], layout)
    assert result.metrics["psnr"] == 100


def test_all_rows_of_the_second_stage_start_from_one_coarse_result(layout, monkeypatch):
    class Fine:
        def restore(self, coarse, sampling, seed):
            return SimpleNamespace(data=coarse * 0.5)

        def without_edge_hint(self):
            return self

    monkeypatch.setattr(methods_module, "_fine_digest", lambda weights: "")
    monkeypatch.setattr(methods_module, "_fine_net", lambda weights, digest: Fine())
    monkeypatch.setattr(ClippingEnhancer, "runs", 0)
    clock = iter(range(1000))
    monkeypatch.setattr(methods_module.time, "process_time", lambda: next(clock))
    results = evaluate_case("sub-01", "010", ["coarse", *methods_module.FINE_VARIANTS], layout)
    assert ClippingEnhancer.runs == 1
    seconds = {result.method: result.seconds for result in results}
    assert seconds == {"coarse": 1} | dict.fromkeys(methods_module.FINE_VARIANTS, 2)


def test_restored_volumes_are_kept_on_demand(layout, restored):
    evaluate_case("sub-01", "010", METHODS, layout)
    assert not layout.restored("sub-01", "010", "n4").exists()
    evaluate_case("sub-01", "010", METHODS, layout, is_kept=True)
    assert restored == [*METHODS, "n4", "coarse"]
    degraded = load_restored("sub-01", "010", "degraded", layout)
    kept = load_restored("sub-01", "010", "n4", layout)
    np.testing.assert_allclose(kept.data, 0.9 * degraded.data, atol=1e-4)
    evaluate_case("sub-01", "010", METHODS, layout, is_kept=True)
    assert len(restored) == 5


def test_a_kept_volume_never_outlives_its_result(layout):
    evaluate_case("sub-01", "010", METHODS, layout, is_kept=True)
    write_text(layout.weights("coarse") / "model.json", "weights, second version")
    evaluate_case("sub-01", "010", METHODS, layout)
    assert layout.restored("sub-01", "010", "n4").exists()
    assert not layout.restored("sub-01", "010", "coarse").exists()
