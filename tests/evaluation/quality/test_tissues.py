import numpy as np
import pytest

from bmenet.evaluation.quality.measure import measure_quality
from bmenet.evaluation.quality.tissues import find_tissues
from bmenet.evaluation.segmentation.atropos import segment_tissues
from bmenet.runtime.errors import VolumeError


def _share_right(labels, head):
    return (labels == head.tissues)[head.brain.brain_mask].mean()


@pytest.fixture(scope="module")
def clean_labels(head, noisy):
    return find_tissues(noisy, head.brain.brain_mask)


def test_find_tissues_finds_those_of_a_clean_scan(head, clean_labels):
    assert clean_labels.dtype == np.uint8
    assert not clean_labels[~head.brain.brain_mask].any()
    assert _share_right(clean_labels, head) > 0.97


def test_find_tissues_does_not_follow_the_noise(head, noisy, clean_labels, rician):
    degraded = rician(head.volume, 200)
    labels = find_tissues(degraded, head.brain.brain_mask)
    assert _share_right(labels, head) > _share_right(segment_tissues(degraded, head.brain.brain_mask), head) + 0.05
    clean = measure_quality(noisy, head.brain, clean_labels).values
    worse = measure_quality(degraded, head.brain, labels).values
    assert worse["cjv"] > 2 * clean["cjv"]
    assert worse["snr_total"] < 0.5 * clean["snr_total"]


def test_find_tissues_refuses_an_empty_mask(head):
    with pytest.raises(VolumeError, match="at least one voxel"):
        find_tissues(head.volume, np.zeros_like(head.brain.brain_mask))
