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
    bare = bmenet("dice", *paths, "--json", "--labels", "none")
    assert json.loads(bare.stdout)["regions"] == {}
    table = bmenet("dice", *paths).stdout
    assert all(told in table for told in ("limbic system", "Left-Hippocampus", "0.6667", "0.8333"))


def test_dice_fails_in_one_line(bmenet, paths):
    paths[0].write_bytes(b"")
    result = bmenet("dice", *paths)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("bmenet: expected a label volume")
    assert result.stderr.count("\n") == 1
