"""Label volumes are read from what FreeSurfer and others write; each of FreeSurfer's labels is in one region."""

import gzip
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bmenet.evaluation.segmentation.labels import REGIONS, freesurfer_names, freesurfer_regions, load_labels
from bmenet.runtime.errors import VolumeError

AFFINE = np.array([[-1, 0, 0, 9.0], [0, 0, 1.5, -8], [0, -2, 0, 7], [0, 0, 0, 1]])
LABELS = np.zeros((9, 10, 11), np.int32)
LABELS[2:5, 3:6, 4:8] = 17
LABELS[6, 6, 6] = 2035


def _write(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    kind = nib.MGHImage if path.suffix in {".mgz", ".mgh"} else nib.Nifti1Image
    nib.save(kind(values, affine), path)
    return path


@pytest.mark.parametrize(("name", "dtype"), [("a.mgz", "int32"), ("a.mgh", "float32"), ("a.nii.gz", "int16")])
def test_load_labels_returns_numbers_and_places(tmp_path, name, dtype):
    volume = load_labels(_write(tmp_path / name, LABELS.astype(dtype)))
    np.testing.assert_array_equal(volume.labels, LABELS)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
    assert volume.notes == ()


def test_load_labels_tells_the_format_by_content_and_heeds_a_slope(tmp_path):
    path = _write(tmp_path / "a.mgz", LABELS).rename(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(load_labels(path).labels, LABELS)
    block = bytearray(_write(tmp_path / "a.nii", LABELS.astype(np.int16)).read_bytes())
    header = nib.Nifti1Header(bytes(block[:348]))
    header["scl_slope"], header["scl_inter"] = 2, 0
    block[:348] = header.binaryblock
    (tmp_path / "a.nii").write_bytes(block)
    np.testing.assert_array_equal(load_labels(tmp_path / "a.nii").labels, 2 * LABELS)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda values: values + 0.25, r"whole numbers; got values such as 0\.25"),
        (lambda values: np.where(values == 17, np.nan, values), "NaN or infinity in 36 voxels"),
        (lambda values: values - 3, "from 0 to 16777215; got -3"),
        (lambda values: values * 1e6, r"got 0 to 2\.035e\+09"),
        (lambda values: np.stack([values, values], axis=-1), "one 3D volume"),
        (lambda values: values[:, :, :1], "2D image"),
    ],
)
def test_load_labels_refuses_what_is_no_volume_of_labels(tmp_path, change, reason):
    for name in ("a.mgz", "a.nii.gz"):
        path = _write(tmp_path / name, change(LABELS).astype(np.float32))
        with pytest.raises(VolumeError, match=f"expected a label volume .*{reason}"):
            load_labels(path)


def test_load_labels_refuses_a_truncated_or_empty_file_a_folder_and_what_is_not_there(tmp_path):
    for name in ("a.mgz", "a.mgh", "a.nii.gz"):
        path = _write(tmp_path / name, LABELS)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(VolumeError, match=r"truncated|broken gzip"):
            load_labels(path)
    (tmp_path / "empty.mgz").touch()
    for name, reason in (("empty.mgz", "empty file"), (".", "something else"), ("none.mgz", "No such file")):
        with pytest.raises(VolumeError, match=reason):
            load_labels(tmp_path / name)


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (4, [2048, 2048, 2048, 1], "at most 134217728"),
        (4, [-9, 10, 11, 1], "at least 8 voxels"),
        (20, [99], "voxel type of .*; got 99"),
    ],
)
def test_load_labels_believes_no_mgh_header(tmp_path, offset, value, reason):
    block = bytearray(_write(tmp_path / "a.mgh", LABELS).read_bytes())
    block[offset : offset + 4 * len(value)] = np.array(value, ">i4").tobytes()
    (tmp_path / "a.mgz").write_bytes(gzip.compress(bytes(block)))
    tracemalloc.start()
    with pytest.raises(VolumeError, match=reason):
        load_labels(tmp_path / "a.mgz")
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_load_labels_says_when_an_mgh_file_has_no_orientation_and_refuses_one_that_is_none(tmp_path):
    path = _write(tmp_path / "a.mgh", LABELS)
    whole = bytearray(path.read_bytes())
    path.write_bytes(whole[:28] + bytes(2) + whole[30:])  # goodRASFlag
    assert "no orientation" in load_labels(path).notes[0]
    path.write_bytes(whole[:42] + bytes(36) + whole[78:])  # the direction cosines
    with pytest.raises(VolumeError, match="that can be inverted"):
        load_labels(path)


# Left and right of aseg that FastSurfer's networks find.
PAIRS = [(2, 41), (3, 42), (4, 43), (5, 44), (7, 46), (8, 47), (10, 49), (11, 50), (12, 51), (13, 52), (17, 53)]
PAIRS += [(18, 54), (26, 58), (28, 60), (31, 63)]
# Of the Desikan-Killiany atlas, the DKT atlas has these areas (Klein, Tourville 2012, doi:10.3389/fnins.2012.00171).
DKT_AREAS = [2, 3, *range(5, 32), 34, 35]
# Of each region one label of the colour table.
KNOWN = {
    2: ("Left-Cerebral-White-Matter", "cerebral white matter"),
    14: ("3rd-Ventricle", "ventricles"),
    47: ("Right-Cerebellum-Cortex", "cerebellum"),
    12: ("Left-Putamen", "basal ganglia"),
    53: ("Right-Hippocampus", "limbic system"),
    16: ("Brain-Stem", "brain stem"),
    253: ("CC_Central", "corpus callosum"),
    28: ("Left-VentralDC", "others"),
    1035: ("ctx-lh-insula", "cerebral cortex"),
}


def test_every_label_of_freesurfer_is_in_one_of_the_nine_published_regions_left_and_right_in_the_same():
    names, regions = freesurfer_names(), freesurfer_regions()
    assert tuple(regions) == REGIONS
    assert len(REGIONS) == 9
    assert sorted(sum(regions.values(), ())) == sorted(names)
    region_of = {label: region for region, labels in regions.items() for label in labels}
    assert {label: (names[label], region_of[label]) for label in KNOWN} == KNOWN
    for left, right in [*PAIRS, *((1000 + area, 2000 + area) for area in DKT_AREAS)]:
        assert region_of[left] == region_of[right]
        assert names[left].replace("Left", "Right").replace("lh", "rh") == names[right]
    assert {region_of[1000 + area] for area in DKT_AREAS} == {"cerebral cortex"}
