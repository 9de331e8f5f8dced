"""Noise, bias field and ghosts each move the measures the way physics has it; what is undefined says why."""

import numpy as np
import pytest

from bmenet.evaluation.quality import MEASURES
from bmenet.evaluation.quality.measure import BLANK, NO_AIR, STRIPPED, measure_quality
from bmenet.imaging.brain_extraction import Brain
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import GridMismatchError

SPREAD = ("snr_csf", "snr_gm", "snr_wm", "snr_total", "cnr")
NEEDS_AIR = {"snrd_total", "cnr", "efc"}


@pytest.fixture(scope="module")
def values(head, noisy):
    return measure_quality(noisy, head.brain, head.tissues).values


def test_measure_quality_recovers_the_known_signal_and_noise(values):
    assert list(values) == list(MEASURES)
    assert values["snr_wm"] == pytest.approx(1000 / 20, rel=0.02)
    assert values["snr_gm"] == pytest.approx(600 / 20, rel=0.02)
    assert values["snrd_total"] == pytest.approx(np.mean([250, 600, 1000]) / 20, rel=0.02)
    assert values["cnr"] == pytest.approx(400 / np.sqrt(20**2 + 20**2 + (4 - np.pi) / 2 * 20**2), rel=0.02)
    assert values["cjv"] == pytest.approx(2 * 20 / 400, rel=0.03)


def test_noise_lowers_snr_and_cnr_and_raises_cjv(head, values, rician):
    worse = measure_quality(rician(head.volume, 60), head.brain, head.tissues).values
    assert all(worse[name] < 0.5 * values[name] for name in (*SPREAD, "snrd_total"))
    assert worse["cjv"] > 2 * values["cjv"]


def test_a_bias_field_raises_cjv_and_lowers_snr(head, noisy, values):
    x = np.linspace(-1, 1, noisy.data.shape[0])[:, None, None]
    worse = measure_quality(noisy.with_data(noisy.data * (1 + 0.3 * x)), head.brain, head.tissues).values
    assert worse["cjv"] > 1.5 * values["cjv"]
    assert all(worse[name] < 0.8 * values[name] for name in ("snr_gm", "snr_wm", "cnr"))


def test_ghosts_raise_efc(head, values, rician):
    ghost = np.roll(head.volume.data, head.volume.data.shape[1] // 2, axis=1)
    ghosted = head.volume.with_data(0.9 * head.volume.data + 0.1 * ghost)
    worse = measure_quality(rician(ghosted, 20), head.brain, head.tissues).values
    assert worse["efc"] > values["efc"] + 0.01
    assert worse["snrd_total"] < 0.8 * values["snrd_total"]


@pytest.mark.parametrize("scale", [1 / 1000, 37.0])
def test_measure_quality_does_not_depend_on_the_intensity_scale(head, noisy, values, scale):
    scaled = measure_quality(noisy.with_data(noisy.data * scale), head.brain, head.tissues).values
    assert scaled == pytest.approx(values, rel=1e-4)


@pytest.mark.parametrize("reason", ["stripped", "stripped, with noise around", "blank", "fills the field of view"])
def test_without_air_there_is_no_measure_that_needs_it(head, noisy, values, reason, rician):
    part = (slice(18, -18) if reason.startswith("fills") else slice(None),) * 3
    mask = head.brain.brain_mask
    around = rician(noisy.with_data(0 * noisy.data), 20).data if "noise" in reason else 0
    kept = {"blank": head.volume.data > 0, "fills the field of view": True}.get(reason, mask)
    data = np.ascontiguousarray(np.where(kept, noisy.data, around)[part])
    brain = Brain(mask[part], reason.startswith("stripped"), "deepbet")
    quality = measure_quality(Volume(data, noisy.affine), brain, head.tissues[part])
    expected = {"blank": BLANK, "fills the field of view": NO_AIR}.get(reason, STRIPPED)
    assert {name for name, value in quality.values.items() if value is None} == NEEDS_AIR
    assert quality.reasons == dict.fromkeys(NEEDS_AIR, expected)
    if not reason.startswith("fills"):  # there the brain is cut as well
        assert (quality.values["cjv"], quality.values["snr_total"]) == (values["cjv"], values["snr_total"])


def test_padding_changes_nothing(head, noisy, values):
    padded = Volume(np.pad(noisy.data, 20), noisy.affine)
    brain = Brain(np.pad(head.brain.brain_mask, 20), False, "deepbet")
    assert measure_quality(padded, brain, np.pad(head.tissues, 20)).values == pytest.approx(values, rel=1e-3)


@pytest.mark.parametrize(
    ("label", "undefined"),
    [(1, {"snr_csf", "snr_total", "snrd_total"}), (2, {"snr_gm", "snr_total", "snrd_total", "cnr", "cjv"})],
)
def test_a_missing_tissue_leaves_out_what_needs_it(head, noisy, values, label, undefined):
    tissues = np.where(head.tissues == label, 0, head.tissues)
    quality = measure_quality(noisy, head.brain, tissues)
    assert quality.reasons.keys() == undefined
    assert {name for name, value in quality.values.items() if value is None} == undefined
    assert quality.values["efc"] == values["efc"]


def test_a_constant_tissue_is_no_infinite_snr(head):
    quality = measure_quality(head.volume, Brain(head.brain.brain_mask, True, "background"), head.tissues)
    assert quality.values["snr_wm"] is None
    assert "1000 everywhere" in quality.reasons["snr_wm"]


def test_equally_bright_tissues_have_no_cjv(head, noisy):
    levels = 500 + np.arange(head.tissues.size).reshape(head.tissues.shape) % 3
    data = np.where(head.tissues >= 2, levels, noisy.data)
    quality = measure_quality(noisy.with_data(data), head.brain, head.tissues)
    assert quality.values["cjv"] is None
    assert "equally bright" in quality.reasons["cjv"]


def test_measure_quality_refuses_tissues_of_another_shape(head, noisy):
    with pytest.raises(GridMismatchError, match="`tissues`: expected shape"):
        measure_quality(noisy, head.brain, head.tissues[1:])
