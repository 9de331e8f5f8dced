"""Noise, bias field and ghosts each move the measures the way physics has it; what is undefined says why."""

import nibabel as nib
import numpy as np
import pytest

from bmenet.evaluation.quality import MEASURES, scans
from bmenet.evaluation.quality.scans import (
    BLANK,
    NO_AIR,
    STRIPPED,
    Quality,
    ScanQuality,
    compare,
    measure_pair,
    measure_quality,
    measure_scan,
)
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


def test_measure_quality_depends_neither_on_the_intensity_scale_nor_on_padding(head, noisy, values):
    scaled = measure_quality(noisy.with_data(noisy.data / 1000), head.brain, head.tissues).values
    assert scaled == pytest.approx(values, rel=1e-4)
    padded, brain = Volume(np.pad(noisy.data, 20), noisy.affine), Brain(np.pad(head.brain.brain_mask, 20), False, "")
    assert measure_quality(padded, brain, np.pad(head.tissues, 20)).values == pytest.approx(values, rel=1e-3)


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


def test_neither_a_constant_tissue_nor_equally_bright_ones_give_an_infinite_number(head, noisy):
    quality = measure_quality(head.volume, Brain(head.brain.brain_mask, True, "background"), head.tissues)
    assert quality.values["snr_wm"] is None
    assert "1000 everywhere" in quality.reasons["snr_wm"]
    levels = 500 + np.arange(head.tissues.size).reshape(head.tissues.shape) % 3
    data = np.where(head.tissues >= 2, levels, noisy.data)
    quality = measure_quality(noisy.with_data(data), head.brain, head.tissues)
    assert quality.values["cjv"] is None
    assert "equally bright" in quality.reasons["cjv"]


def test_measure_quality_refuses_tissues_of_another_shape(head, noisy):
    with pytest.raises(GridMismatchError, match="`tissues`: expected shape"):
        measure_quality(noisy, head.brain, head.tissues[1:])


def test_measure_scan_measures_the_file_and_hands_on_what_the_reader_assumed(tmp_path, head, noisy, monkeypatch):
    monkeypatch.setattr(scans, "find_brain", lambda volume, device: head.brain)
    monkeypatch.setattr(scans, "find_tissues", lambda volume, brain_mask: head.tissues)
    data = noisy.data.copy()
    data[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(data, noisy.affine), tmp_path / "head.nii")
    result = measure_scan(tmp_path / "head.nii")
    assert result.quality.values["snr_wm"] == pytest.approx(50, rel=0.02)
    assert result.brain_litres == pytest.approx(head.brain.brain_mask.sum() * 27 / 1e6)
    assert not result.is_skull_stripped
    assert str(tmp_path / "head.nii") in result.notes[0]


def test_a_pair_is_measured_in_tissues_found_once_and_its_noise_stays_what_it_was(head, noisy, rician):
    whole, fine = (
        Volume(np.kron(volume.data, np.ones((3, 1, 1))), head.volume.affine @ np.diag([1 / 3, 1, 1, 1]))
        for volume in (head.volume, noisy)
    )
    noise = fine.data - whole.data
    generator = np.random.default_rng(3)
    before = whole.with_data(np.maximum(whole.data + generator.permutation(noise), 0))
    mask = np.kron(head.brain.brain_mask, np.ones((3, 1, 1))) > 0
    after = rician(whole, 10)
    pair = measure_pair(before, after, Brain(mask, False, "deepbet"))
    assert [one.brain_litres for one in pair] == pytest.approx([mask.sum() * 9 / 1e6] * 2, rel=0.05)
    first, second = (one.quality.values["snr_wm"] for one in pair)
    assert first == pytest.approx(50, rel=0.1)
    assert second == pytest.approx(100, rel=0.1)


def test_compare_subtracts_where_both_are_defined_and_tells_what_makes_two_scans_hard_to_compare():
    def result(cjv=0.5, litres=1.2, is_stripped=False, spacing_mm=(1.0, 1.0, 1.0)):
        return ScanQuality(Quality(dict.fromkeys(MEASURES) | {"cjv": cjv}, {}), is_stripped, litres, spacing_mm, ())

    changes, notes = compare(result(cjv=0.5), result(cjv=0.4))
    assert list(changes) == list(MEASURES)
    assert changes["cjv"] == pytest.approx(-0.1)
    assert (changes["efc"], notes) == (None, ())
    for other in (result(is_stripped=True), result(litres=1.0), result(spacing_mm=(2.0, 2.0, 2.0))):
        assert len(compare(result(), other)[1]) == 1
