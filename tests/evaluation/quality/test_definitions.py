from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from bmenet.evaluation.quality.definitions import (
    Intensities,
    cjv,
    cnr,
    efc,
    find_air,
    find_blank,
    find_tissues,
    snr,
    snr_dietrich,
)
from bmenet.evaluation.quality.scans import measure_quality
from bmenet.evaluation.segmentation import atropos
from bmenet.evaluation.segmentation.atropos import segment_tissues
from bmenet.imaging.volume import Volume


@pytest.fixture(scope="module")
def regions():
    """Air, CSF, grey and white matter in integers of MRIQC's scale (white matter near 1000), and the whole image."""
    generator = np.random.default_rng(2026)
    labels = generator.integers(0, 4, (24, 24, 24))
    noise = generator.standard_normal(labels.shape)
    data = np.choose(labels, [20.0, 300.0, 700.0, 1000.0]) + np.choose(labels, [8.0, 60.0, 50.0, 35.0]) * noise
    data = np.rint(data).clip(0)
    return *(Intensities.of(data[labels == label]) for label in range(4)), data


def test_definitions_agree_with_mriqc(regions):
    # mriqc 24.0.2 with statsmodels 0.15.0 on the same arrays: `summary_stats` with each region's 0/1 map, then `snr`,
    # `snr_dietrich` (mad_air=0, so that it takes the standard deviation), `cnr`, `cjv` and `efc`, the way its
    # interface StructuralQC calls them. It rounds the statistics to four decimals.
    air, csf, gm, wm, data = regions
    assert snr(csf) == pytest.approx(4.98607678, rel=1e-5)
    assert snr(gm) == pytest.approx(13.88779419, rel=1e-5)
    assert snr(wm) == pytest.approx(28.75751823, rel=1e-5)
    assert snr_dietrich(wm, air) == pytest.approx(82.43094229, rel=1e-5)
    assert cnr(wm, gm, air) == pytest.approx(4.81750742, rel=1e-5)
    assert cjv(wm, gm) == pytest.approx(0.28856040, rel=1e-5)
    assert efc(data) == pytest.approx(0.78057192, abs=1e-8)


def test_snr_dietrich_finds_signal_over_noise_of_one_channel(generator):
    sigma = 12.0
    air = np.hypot(*generator.normal(0, sigma, (2, 200_000)))
    tissue = Intensities(median=600, std=1, mad=1, count=10)
    assert snr_dietrich(tissue, Intensities.of(air)) == pytest.approx(600 / sigma, rel=0.01)


def test_efc_spans_from_one_bright_voxel_to_a_flat_image():
    point = np.zeros((8, 8, 8), np.float32)
    point[3, 4, 5] = 700
    assert efc(point) == pytest.approx(0, abs=1e-12)
    assert efc(np.full((8, 8, 8), 3.0)) == pytest.approx(1)
    assert efc(np.full((5, 9, 2), 700.0)) == pytest.approx(1)


@pytest.mark.parametrize("sigma", [2, 120])
def test_find_air_lies_above_and_beside_the_head_with_a_margin(head, sigma, rician):
    air = find_air(rician(head.volume, sigma), head.brain.brain_mask)
    centre = np.argwhere(head.brain.brain_mask).mean(axis=0)
    voxels = np.argwhere(air)
    radius_mm = 3 * np.linalg.norm(voxels - centre, axis=1)
    assert radius_mm.min() > 74 + 6
    assert voxels[:, 2].min() > centre[2]
    assert air.mean() > 0.2


def test_find_air_follows_the_affine_not_the_storage_and_does_not_take_padding_for_the_level_of_the_air(head, noisy):
    to_stored = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt("PIR")
    )
    data = nib.orientations.apply_orientation(noisy.data, to_stored)
    brain_mask = nib.orientations.apply_orientation(head.brain.brain_mask, to_stored)
    affine = noisy.affine @ nib.orientations.inv_ornt_aff(to_stored, noisy.data.shape)
    turned = find_air(Volume(np.ascontiguousarray(data), affine), brain_mask)
    air = find_air(noisy, head.brain.brain_mask)
    np.testing.assert_array_equal(turned, nib.orientations.apply_orientation(air, to_stored))
    padded = noisy.data.copy()
    padded[:12] = 0
    of_padded = find_air(noisy.with_data(padded), head.brain.brain_mask)
    assert (of_padded[12:] == air[12:]).mean() > 0.99


def test_find_blank_is_padding_and_not_a_zero_of_the_noise(generator):
    data = generator.integers(0, 3, (40, 40, 40)).astype(np.float32)
    assert not find_blank(data).any()
    data[:6] = 0
    data[20:30, 20:30, 20:30] = 0
    blank = find_blank(data)
    assert blank[:6].all()
    assert blank[20:30, 20:30, 20:30].all()
    assert blank.mean() < 6 / 40 + 10**3 / 40**3 + 0.02


def test_find_tissues_does_not_follow_the_noise(head, rician, monkeypatch):
    monkeypatch.setattr(atropos, "_N4_ITERATIONS", [5])  # there is no field
    part = (slice(12, -12),) * 3  # what lies around the brain
    volume = Volume(np.ascontiguousarray(head.volume.data[part]), head.volume.affine)
    brain = replace(head.brain, brain_mask=np.ascontiguousarray(head.brain.brain_mask[part]))

    def share_right(labels):
        return (labels == head.tissues[part])[brain.brain_mask].mean()

    noisy, degraded = rician(volume, 20), rician(volume, 200)
    clean_labels, labels = (find_tissues(scan, brain.brain_mask) for scan in (noisy, degraded))
    assert clean_labels.dtype == np.uint8
    assert not clean_labels[~brain.brain_mask].any()
    assert share_right(clean_labels) > 0.97
    assert share_right(labels) > share_right(segment_tissues(degraded, brain.brain_mask)) + 0.05
    clean = measure_quality(noisy, brain, clean_labels).values
    worse = measure_quality(degraded, brain, labels).values
    assert worse["cjv"] > 2 * clean["cjv"]
    assert worse["snr_total"] < 0.5 * clean["snr_total"]
