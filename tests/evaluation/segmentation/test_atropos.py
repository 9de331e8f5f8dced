"""The embedded segmenter finds the tissues of a phantom, whatever its scale and its coil."""

import tempfile

import numpy as np
import pytest

from bmenet.evaluation.segmentation import atropos
from bmenet.evaluation.segmentation.atropos import segment_tissues
from bmenet.evaluation.tissue import label_dice
from bmenet.runtime.errors import GridMismatchError, VolumeError


@pytest.fixture(scope="module")
def brain_mask(phantom):
    return phantom.data > 0


@pytest.fixture(scope="module")
def tissues(phantom):
    """The phantom's true labels."""
    return np.digitize(phantom.data, [0.05, 0.3, 0.7]).astype(np.uint8)


@pytest.fixture(scope="module")
def noisy(phantom, brain_mask):
    noise = 0.03 * np.random.default_rng(5).normal(size=phantom.data.shape)
    return phantom.with_data(phantom.data + noise * brain_mask)


@pytest.fixture(scope="module")
def labels(noisy, brain_mask):
    return segment_tissues(noisy, brain_mask)


def test_segment_tissues_finds_csf_grey_and_white_matter_by_brightness(labels, tissues, brain_mask):
    assert labels.dtype == np.uint8
    assert (labels[~brain_mask] == 0).all()
    assert min(label_dice(labels, tissues).values()) > 0.95


def test_segment_tissues_labels_undecided_voxels_alike_each_time(phantom, brain_mask, monkeypatch):
    monkeypatch.setattr(atropos, "_N4_ITERATIONS", [5])
    # So much noise that the order in which Atropos visits the voxels decides some of them.
    noise = np.random.default_rng(6).normal(scale=0.3, size=phantom.data.shape)
    volume = phantom.with_data(phantom.data + noise)
    np.testing.assert_array_equal(segment_tissues(volume, brain_mask), segment_tissues(volume, brain_mask))


def test_segment_tissues_sees_through_the_coil_s_sensitivity(noisy, tissues, brain_mask):
    # Ratio (max - min) / (max + min) of 0.4: far white matter is darker than near grey matter.
    ramp = np.linspace(0.6, 1.4, noisy.data.shape[1], dtype=np.float32)[:, None]
    labels = segment_tissues(noisy.with_data(noisy.data * ramp), brain_mask)
    assert np.mean(list(label_dice(labels, tissues).values())) > 0.9


def test_segment_tissues_needs_no_scale_and_does_not_read_beyond_the_mask(
    labels, noisy, brain_mask, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # Powers of two scale float32 without rounding.
    bright = noisy.with_data(1024 * np.where(brain_mask, noisy.data, 50))
    np.testing.assert_array_equal(segment_tissues(bright, brain_mask), labels)
    assert list(tmp_path.iterdir()) == []  # ANTsPy's own function leaves its probability images behind


def test_segment_tissues_refuses_what_has_no_three_tissues(phantom, brain_mask):
    for reason, data, mask in (
        ("empty one", phantom.data, brain_mask & False),
        ("three tissues", brain_mask.astype(np.float32), brain_mask),
        ("expected three tissues", np.where(phantom.data > 0.3, 1, 0.5), brain_mask),
        ("NaN", np.where(brain_mask, np.nan, 0), brain_mask),
    ):
        with pytest.raises(VolumeError, match=reason):
            segment_tissues(phantom.with_data(data), mask)
    with pytest.raises(GridMismatchError, match="expected shape"):
        segment_tissues(phantom, brain_mask[1:])
