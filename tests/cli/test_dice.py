import json

import nibabel as nib
import numpy as np
import pytest

AFFINE = np.diag([-2.0, -2, 2, 1])


@pytest.fixture
def paths(tmp_path):
    """A segmentation with half of one hippocampus, and its reference with two."""
    reference = np.zeros((16, 16, 16), np.int16)
    reference[2:6, 4:8, 4:8] = 17
    reference[10:14, 4:8, 4:8] = 53
    labels = reference.copy()
    labels[2:4] = 0
    for name, values in (("a", labels), ("b", reference)):
        nib.save(nib.MGHImage(values, AFFINE), tmp_path / f"{name}.mgz")
    return tmp_path / "a.mgz", tmp_path / "b.mgz"


def test_dice_prints_flat_numbers_as_json(bmenet, paths):
    result = bmenet("dice", *paths, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    record = json.loads(result.stdout)
    assert record["labels"] == {"17": pytest.approx(2 / 3), "53": 1}
    assert record["mean_label_dice"] == pytest.approx(5 / 6)
    assert record["regions"] == {"limbic system": pytest.approx(2 * 96 / (96 + 128))}
    assert record["names"] == {"17": "Left-Hippocampus", "53": "Right-Hippocampus"}
    assert record["volumes_ml"]["17"] == pytest.approx({"a": 0.256, "b": 0.512})
    assert record["missing_in_b"] == []


def test_dice_prints_tables(bmenet, paths):
    lines = bmenet("dice", *paths).stdout.splitlines()
    (region,) = (line.split() for line in lines if "limbic" in line)
    (label,) = (line.split() for line in lines if "Left-Hippocampus" in line)
    assert region == ["limbic", "system", "0.8571"]
    assert label == ["17", "0.6667", "0.26", "0.51", "Left-Hippocampus"]
    assert lines[-1] == "mean Dice of 2 labels: 0.8333"


def test_dice_gives_labels_of_another_kind_no_regions_and_says_so(bmenet, paths):
    values = np.zeros((16, 16, 16), np.uint8)
    values[4:12, 4:12, 4:12] = 3
    nib.save(nib.Nifti1Image(values, AFFINE), path := paths[0].with_name("tissues.nii.gz"))
    result = bmenet("dice", path, path, "--json")
    assert json.loads(result.stdout)["regions"] == {}
    assert "no regions" in result.stderr
    result = bmenet("dice", path, path, "--json", "--labels", "freesurfer")
    assert json.loads(result.stdout)["regions"] == {"cerebral cortex": 1.0}
    assert bmenet("dice", path, path, "--labels", "none").stderr == ""


def test_dice_tells_that_it_resampled_and_still_prints_clean_json(bmenet, paths):
    image = nib.load(paths[0])
    nib.save(nib.as_closest_canonical(image), paths[0])
    result = bmenet("dice", *paths, "--json")
    assert "nearest neighbours" in result.stderr
    assert json.loads(result.stdout)["mean_label_dice"] == pytest.approx(5 / 6)


def test_dice_fails_in_one_line(bmenet, paths):
    paths[0].write_bytes(b"")
    result = bmenet("dice", *paths)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("bmenet: expected a label volume")
    assert result.stderr.count("\n") == 1


def test_dice_of_one_file_is_wrong_use(bmenet, paths):
    assert bmenet("dice", paths[0]).exit_code == 2
