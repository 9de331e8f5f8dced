from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from bmenet.data.layout import Layout
from bmenet.evaluation import methods as methods_module
from bmenet.evaluation.baselines import BASELINES
from bmenet.evaluation.methods import FINE_VARIANTS, Restorations, evaluate_case
from bmenet.imaging.volume import load_unit_volume, save_mask, save_unit_volume
from bmenet.runtime.files import write_text
from tests.registered import head_around, save_registered

METHODS = ["degraded", "n4", "coarse"]


class ClippingNet:
    """Stands in for a trained network: cuts intensities above 1."""

    runs = 0

    def restore(self, degraded):
        ClippingNet.runs += 1
        return np.minimum(degraded, 1)


def write_weights(layout, version):
    write_text(layout.weights("coarse") / "model.json", f"weights, {version} version")


@pytest.fixture
def layout(tmp_path, phantom, generator, monkeypatch) -> Layout:
    layout = Layout(tmp_path)
    noisy = np.abs(phantom.data + 0.1 * generator.standard_normal(phantom.data.shape))
    save_registered(layout, "sub-01", phantom)
    save_unit_volume(layout.degraded("sub-01", "010"), phantom.with_data(noisy))
    write_weights(layout, "first")
    monkeypatch.setitem(BASELINES, "n4", lambda degraded: degraded.with_data(degraded.data * 0.9))
    monkeypatch.setattr(methods_module.CoarseNet, "load_once", lambda folder: ClippingNet())
    return layout


@pytest.fixture
def restored(monkeypatch) -> list[str]:
    """The methods that really ran, in order."""
    ran: list[str] = []
    real = Restorations.__call__
    monkeypatch.setattr(Restorations, "__call__", lambda self, method: ran.append(method) or real(self, method))
    return ran


def run(layout, code="010", methods=METHODS, is_kept=False):
    return evaluate_case("sub-01", code, list(methods), layout, layout.weights_folder, is_kept=is_kept)


def test_evaluate_case_measures_every_method_and_under_the_clean_code_the_clean_volume(layout):
    psnr = {result.method: result.metrics["psnr"] for result in run(layout)}
    assert list(psnr) == METHODS
    assert psnr["degraded"] == pytest.approx(20, abs=1)
    assert psnr["coarse"] > psnr["degraded"]
    assert run(layout, "000", ["degraded"])[0].metrics["psnr"] == 100


def test_of_a_head_whose_scalp_is_wrong_the_brain_is_perfect_and_the_rest_is_not(layout, phantom):
    head, brain_mask = head_around(phantom)
    save_registered(layout, "sub-01", head, brain_mask)
    spoiled = head.with_data(np.where(brain_mask, head.data, 0.5 * head.data))
    save_unit_volume(layout.degraded("sub-01", "010"), spoiled)
    (found,) = (result.metrics for result in run(layout, methods=["degraded"]))
    assert found["psnr_brain"] == 100
    assert found["psnr_head"] < found["psnr"] < 20
    assert found["ssim_head"] < found["ssim"] < 1


def test_another_brain_mask_is_measured_again(layout, restored, phantom):
    first = run(layout, methods=["degraded"])
    smaller = ndimage.binary_erosion(phantom.data > 0, iterations=3)
    save_mask(layout.brain_mask("sub-01"), phantom.with_data(smaller))
    again = run(layout, methods=["degraded"])
    assert restored == ["degraded", "degraded"]
    assert again[0].metrics["psnr"] == first[0].metrics["psnr"]
    assert again[0].metrics["ssim_brain"] != first[0].metrics["ssim_brain"]


def test_evaluate_case_goes_on_where_it_was_stopped_and_measures_nothing_twice(layout, restored):
    run(layout, methods=["degraded", "n4"])
    first, again = run(layout), run(layout)
    assert restored == METHODS
    assert [(r.metrics, r.seconds) for r in again] == [(r.metrics, r.seconds) for r in first]
    np.testing.assert_array_equal(again[2].shown_slices["axial"], first[2].shown_slices["axial"])


@pytest.mark.parametrize(
    ("change", "done_again"), [("weights", ["coarse"]), ("degraded", METHODS), ("a damaged result", ["n4"])]
)
def test_evaluate_case_does_again_what_something_changed_behind(layout, restored, phantom, change, done_again):
    first = run(layout)
    if change == "weights":
        write_weights(layout, "second")
    elif change == "degraded":
        save_unit_volume(layout.degraded("sub-01", "010"), phantom.with_data(phantom.data * 0.5))
    else:
        path = layout.evaluated("sub-01", "010", "n4")
        path.write_bytes(path.read_bytes()[:100])
    again = run(layout)
    assert restored == METHODS + done_again
    assert (again[1].metrics == first[1].metrics) == (change != "degraded")


def test_all_rows_of_the_second_stage_start_from_one_coarse_result_and_hold_its_seconds(layout, monkeypatch):
    fine = SimpleNamespace(restore=lambda coarse, sampling, seed: SimpleNamespace(data=coarse * 0.5))
    fine.without_edge_hint = lambda: fine
    monkeypatch.setattr(methods_module, "fine_digests", lambda weights: [])
    monkeypatch.setattr(methods_module.FineNet, "load_once", lambda weights: fine)
    monkeypatch.setattr(ClippingNet, "runs", 0)
    clock = iter(range(1000))
    monkeypatch.setattr(methods_module.time, "process_time", lambda: next(clock))
    seconds = {result.method: result.seconds for result in run(layout, "010", ["coarse", *FINE_VARIANTS])}
    assert ClippingNet.runs == 1
    assert seconds == {"coarse": 1} | dict.fromkeys(FINE_VARIANTS, 2)


def test_restored_volumes_are_kept_on_demand_and_never_outlive_their_result(layout, restored):
    kept = {method: layout.restored("sub-01", "010", method) for method in ("n4", "coarse")}
    run(layout)
    assert not kept["n4"].exists()
    run(layout, is_kept=True)
    run(layout, is_kept=True)
    assert restored == [*METHODS, "n4", "coarse"]
    degraded = load_unit_volume(layout.degraded("sub-01", "010"))
    np.testing.assert_allclose(load_unit_volume(kept["n4"]).data, 0.9 * degraded.data, atol=1e-4)
    write_weights(layout, "second")
    run(layout)
    assert {method: path.exists() for method, path in kept.items()} == {"n4": True, "coarse": False}
