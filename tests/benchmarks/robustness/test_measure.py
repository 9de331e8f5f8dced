import numpy as np
import pytest
from scipy import ndimage

from benchmarks.robustness.cases import CASES
from benchmarks.robustness.measure import INPUT, contrast, measure_case, score
from benchmarks.robustness.report import clean_table, degraded_table, summarise
from benchmarks.robustness.subjects import Subject
from bmenet.data.layout import Layout
from bmenet.evaluation.metrics.fidelity import psnr, ssim
from bmenet.imaging.brain import foreground_mask
from tests.registered import save_registered

SCORES = {
    INPUT: {"psnr": 20.0, "ssim": 0.8, "psnr_gain": 21.0},
    "coarse": {"psnr": 25.0, "ssim": 0.75, "psnr_gain": 25.5, "seconds": 3.0},
}


def test_scores_are_those_of_the_whole_volume_inside_the_brain(phantom, generator):
    subject = Subject(phantom, foreground_mask(phantom.data))
    noisy = (phantom.data + 0.05 * generator.standard_normal(phantom.data.shape)).astype(np.float32)
    found = score(noisy, subject)
    assert found["psnr"] == pytest.approx(psnr(noisy, phantom.data, subject.brain_mask), abs=1e-4)
    assert found["ssim"] == pytest.approx(ssim(noisy, phantom.data, subject.brain_mask), abs=1e-4)
    assert score(0.8 * phantom.data, subject)["psnr_gain"] > 80
    shaded = phantom.data * np.linspace(0.7, 1.3, phantom.data.shape[0], dtype=np.float32)[:, None, None]
    assert score(shaded, subject)["psnr_field_free"] > score(shaded, subject)["psnr"] + 6


def test_contrast_is_that_of_the_clean_scan_where_nothing_changed_and_less_where_it_is_blurred(phantom):
    clean = phantom.data[phantom.data > 0]
    little, much = (ndimage.gaussian_filter(phantom.data, width)[phantom.data > 0] for width in (0.7, 3))
    assert contrast(clean, clean) == 1
    assert contrast(0.5 * clean + 0.1, clean) == pytest.approx(0.5, rel=1e-4)
    assert contrast(much, clean) < contrast(little, clean) < 1


@pytest.fixture
def halving_calls(monkeypatch, workspace):
    """A model that halves every intensity and counts its calls."""
    weights = workspace / "weights" / "coarse"
    weights.mkdir(parents=True)
    (weights / "model.json").write_text("{}")
    calls = []

    def restore(volume):
        calls.append(1)
        return volume.with_data(volume.data / 2)

    enhancer = type("Halving", (), {"restore": staticmethod(restore), "fine": None})()
    monkeypatch.setattr("benchmarks.robustness.measure._enhancer", lambda model, stage: enhancer)
    return calls


def test_what_is_measured_is_kept(workspace, phantom, halving_calls):
    layout = Layout(workspace)
    save_registered(layout, "sub-01", phantom)
    first, again = (measure_case("sub-01", "ghosts", "weights/coarse", ("coarse",), layout, 0) for _ in range(2))
    assert first == again
    assert len(halving_calls) == 1
    assert first["coarse"]["psnr"] < first[INPUT]["psnr"]
    assert first["coarse"]["psnr_gain"] == pytest.approx(first[INPUT]["psnr_gain"], abs=1e-3)
    measure_case("sub-01", "ghosts", "weights/coarse", ("coarse",), layout, 1)
    assert len(halving_calls) == 2


def test_rows_hold_means_and_tables_show_their_kind():
    twice = {"sub-01": SCORES, "sub-02": SCORES | {INPUT: SCORES[INPUT] | {"psnr": 22.0}}}
    rows = [
        summarise(CASES["ghosts"], "ixi", twice, {"sub-03": "no brain"}),
        summarise(CASES["clean"], "", {"sub-01": SCORES}, {}),
    ]
    assert rows[0]["means"][INPUT]["psnr"] == pytest.approx(21)
    assert rows[0]["title"].endswith(", ixi")
    failed = summarise(CASES["ghosts"], "", {}, {"sub-01": "no brain"})
    assert degraded_table([*rows, failed], ["coarse"]).row_count == 2
    assert clean_table(rows, ["coarse"]).row_count == 1
