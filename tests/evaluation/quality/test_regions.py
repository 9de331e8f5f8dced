from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from bmenet.evaluation.quality.regions import find_air, find_blank, find_tissues
from bmenet.evaluation.quality.scans import measure_quality
from bmenet.evaluation.segmentation.atropos import segment_tissues
from bmenet.imaging.volume import Volume


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
    turned, air = (
        find_air(Volume(np.ascontiguousarray(data), affine), brain_mask),
        find_air(noisy, head.brain.brain_mask),
    )
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


def test_find_tissues_does_not_follow_the_noise(head, rician):
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
