"""Two label volumes are compared where they lie, and regions are named only where the numbers are FreeSurfer's."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from bmenet.evaluation import files
from bmenet.evaluation.files import compare_label_files, measure_scans
from bmenet.evaluation.metrics import METRICS
from bmenet.imaging.brain_extraction import Brain
from bmenet.runtime.errors import GridMismatchError, VolumeError

AFFINE = np.diag([2.0, 2, 2, 1])
AFFINE[:3, 3] = -20, -30, -10


@pytest.fixture
def labels() -> np.ndarray:
    """Two hippocampi, two areas of the cortex and some white matter, (24, 26, 28)."""
    values = np.zeros((24, 26, 28), np.int16)
    values[2:22, 2:24, 2:26] = 1002
    values[4:20, 4:22, 4:24] = 1003
    values[6:18, 6:20, 6:22] = 2
    values[7:10, 9:14, 9:13] = 17
    values[14:17, 9:14, 9:13] = 53
    return values


@pytest.fixture
def save(tmp_path):
    def write(name: str, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
        kind = nib.MGHImage if name.endswith((".mgz", ".mgh")) else nib.Nifti1Image
        nib.save(kind(values, affine), tmp_path / name)
        return tmp_path / name

    return write


def test_a_file_overlaps_with_itself_wholly(save, labels):
    path = save("a.mgz", labels)
    overlap = compare_label_files(path, path)
    assert overlap.labels == dict.fromkeys((2, 17, 53, 1002, 1003), 1.0)
    assert overlap.regions == dict.fromkeys(("cerebral cortex", "cerebral white matter", "limbic system"), 1.0)
    assert overlap.names[53] == "Right-Hippocampus"
    assert overlap.volumes_ml[17] == pytest.approx((0.48, 0.48))  # 60 voxels of 8 mm^3
    assert overlap.notes == ()


def test_a_region_is_the_union_of_its_labels_and_what_the_reference_lacks_does_not_count(save, labels):
    other = np.select([labels == 1002, labels == 1003, labels == 53], [1003, 1002, 10], labels).astype(np.int16)
    overlap = compare_label_files(save("a.nii", other), save("b.nii", labels))
    assert overlap.regions == {"cerebral cortex": 1, "cerebral white matter": 1, "limbic system": pytest.approx(2 / 3)}
    assert overlap.labels == {2: 1, 17: 1, 53: 0, 1002: 0, 1003: 0}
    assert overlap.mean_label_dice == pytest.approx(2 / 5)
    assert overlap.volumes_ml[53] == (0, pytest.approx(0.48))
    assert overlap.missing_in_reference == (10,)


def test_labels_are_compared_where_they_lie_not_index_by_index(save, labels):
    reference = save("b.nii", labels)
    for codes in ("LPS", "ASR", "LIA"):
        to_codes = nib.orientations.ornt_transform(
            nib.orientations.io_orientation(AFFINE), nib.orientations.axcodes2ornt(codes)
        )
        turned = nib.Nifti1Image(labels, AFFINE).as_reoriented(to_codes)
        overlap = compare_label_files(save("a.mgz", np.asarray(turned.dataobj), turned.affine), reference)
        assert overlap.mean_label_dice == 1
        assert "nearest neighbours" in overlap.notes[0]
    shifted = AFFINE.copy()
    shifted[0, 3] += 2
    overlap = compare_label_files(save("a.nii", labels, shifted), reference)
    assert overlap.labels[17] == pytest.approx(2 / 3)  # one voxel of three along x


@pytest.mark.parametrize("swap", [False, True])
def test_fields_of_view_apart_are_refused(save, labels, swap):
    shifted = AFFINE.copy()
    shifted[1, 3] += 20
    paths = [save("a.nii", labels, shifted), save("b.nii", labels)]
    with pytest.raises(GridMismatchError, match=r"at least 90% of the labelled voxels"):
        compare_label_files(*(paths[::-1] if swap else paths))


@pytest.mark.parametrize("numbers", [(1, 2, 3), (2, 3, 4), (4, 11, 35)])
def test_labels_of_another_kind_have_no_regions(save, labels, numbers):
    values = np.zeros_like(labels)
    for depth, number in enumerate(numbers, start=2):
        values[depth:-depth, depth:-depth, depth:-depth] = number
    path = save("a.nii", values)
    overlap = compare_label_files(path, path)
    assert (overlap.regions, overlap.names, overlap.mean_label_dice) == ({}, {}, 1.0)
    assert "no regions" in overlap.notes[0]
    assert compare_label_files(path, path, "none").notes == ()


def test_labels_beside_the_table_cost_the_regions_only_where_they_are_many(save, labels):
    many = np.where(labels == 2, 14175, labels).astype(np.int16)
    few = labels.copy()
    few[tuple(np.argwhere(labels > 0)[0])] = 14175
    paths = save("many.nii", many), save("few.nii", few)
    assert [bool(compare_label_files(path, path).regions) for path in paths] == [False, True]
    overlap = compare_label_files(paths[0], paths[0], "freesurfer")
    assert set(overlap.regions) == {"cerebral cortex", "limbic system"}
    assert "14175" in overlap.notes[0]


def test_background_alone_scores_0_and_is_no_reference(save, labels):
    nothing, something = save("a.nii", labels * 0), save("b.nii", labels)
    overlap = compare_label_files(nothing, something)
    assert overlap.mean_label_dice == 0
    assert "background alone" in overlap.notes[0]
    with pytest.raises(VolumeError, match=r"a\.nii: expected labels above 0 in the reference"):
        compare_label_files(something, nothing)


@pytest.fixture
def textured(phantom, generator):
    """The phantom with a texture, so that it is not taken for a label map; background zero, [0, 1]."""
    texture = 1 + 0.05 * generator.standard_normal(phantom.data.shape)
    return np.clip(phantom.data * texture, 0, 1).astype(np.float32)


@pytest.fixture
def save_scan(save, phantom, monkeypatch):
    """Return a function that saves a scan, all of which that is bright is taken for brain."""
    monkeypatch.setattr(files, "find_brain", lambda volume: Brain(volume.data > 0, True, "background"))
    return lambda name, data: save(name, data, phantom.affine)


def test_measure_scans_takes_unit_scans_as_they_are_and_others_whatever_their_scale(save_scan, textured):
    unit, hundred, four_thousand = (
        measure_scans(
            save_scan(f"enhanced-{scale}.nii", scale * (textured + np.float32(0.1))),
            save_scan(f"clean-{scale}.nii.gz", scale * textured),
        )
        for scale in (1, 100, 4000)
    )
    assert unit.scale == 1
    assert list(unit.metrics) == list(METRICS)
    assert unit.metrics["psnr"] == pytest.approx(20, abs=0.01)
    assert four_thousand.metrics == pytest.approx(hundred.metrics, rel=1e-3)
    assert four_thousand.scale == pytest.approx(40 * hundred.scale)


def test_measure_scans_looks_into_the_brain_of_a_whole_head(save_scan, textured, monkeypatch):
    brain_mask = ndimage.binary_erosion(textured > 0, iterations=4)
    head = np.where(textured > 0, textured, 0.9 * (ndimage.distance_transform_edt(textured == 0) < 6)).astype(
        np.float32
    )
    spoiled = np.where(textured > 0, head, head / 2)
    enhanced, clean = save_scan("enhanced.nii", spoiled), save_scan("clean.nii", head)
    whole_head = measure_scans(enhanced, clean, save_scan("mask.nii", (head > 0).astype(np.uint8)))
    monkeypatch.setattr(files, "find_brain", lambda volume: Brain(brain_mask, False, "deepbet"))
    result = measure_scans(enhanced, clean)
    assert whole_head.metrics["psnr_brain"] < 20
    assert result.metrics["psnr_brain"] == 100
    assert result.metrics["psnr"] == whole_head.metrics["psnr"]
    assert ["a whole head" in note for note in result.notes] == [True] * len(result.notes)


def test_measure_scans_tells_when_no_brain_was_found(save_scan, textured, monkeypatch):
    def fail(volume):
        raise VolumeError("expected a brain; found none")

    paths = save_scan("enhanced.nii", textured), save_scan("clean.nii", textured)
    expected = measure_scans(*paths).metrics
    monkeypatch.setattr(files, "find_brain", fail)
    result = measure_scans(*paths)
    assert result.metrics == expected
    assert "found none" in result.notes[0]
