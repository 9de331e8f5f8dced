import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from bmenet.evaluation import scans
from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.scans import measure_scans
from bmenet.imaging.brain_extraction import Brain
from bmenet.runtime.errors import GridMismatchError, VolumeError


@pytest.fixture
def textured(phantom, generator):
    """The phantom with a texture, so that it is not taken for a label map; background zero, [0, 1]."""
    texture = 1 + 0.05 * generator.standard_normal(phantom.data.shape)
    return np.clip(phantom.data * texture, 0, 1).astype(np.float32)


@pytest.fixture(autouse=True)
def lone_brain(monkeypatch):
    """Spare the brain extraction: all that is bright is brain."""
    monkeypatch.setattr(scans, "find_brain", lambda volume: Brain(volume.data > 0, True, "background"))


@pytest.fixture
def save(tmp_path, phantom):
    def _save(name, data, affine=phantom.affine):
        nib.save(nib.Nifti1Image(data, affine), tmp_path / name)
        return tmp_path / name

    return _save


def test_measure_scans_takes_unit_scans_as_they_are(save, textured):
    result = measure_scans(save("enhanced.nii.gz", textured + np.float32(0.1)), save("clean.nii.gz", textured))
    assert result.scale == 1
    assert list(result.metrics) == list(METRICS)
    assert result.metrics["psnr"] == pytest.approx(20, abs=0.01)


def test_measure_scans_does_not_depend_on_the_intensity_scale(save, textured):
    pairs = [
        (
            save(f"enhanced-{scale}.nii", scale * (textured + np.float32(0.05))),
            save(f"clean-{scale}.nii", scale * textured),
        )
        for scale in (100, 4000)
    ]
    hundred, four_thousand = (measure_scans(*pair) for pair in pairs)
    assert four_thousand.metrics == pytest.approx(hundred.metrics, rel=1e-4)
    assert four_thousand.scale == pytest.approx(40 * hundred.scale)


def test_measure_scans_uses_the_given_brain_mask(save, textured):
    spoiled = textured.copy()
    spoiled[:20] *= 0.5
    right = np.zeros(textured.shape, np.uint8)
    right[22:, 20:40, 10:30] = 1
    enhanced, clean = save("enhanced.nii", spoiled), save("clean.nii", textured)
    assert measure_scans(enhanced, clean, save("mask.nii", right)).metrics["psnr_brain"] == 100
    assert measure_scans(enhanced, clean).metrics["psnr_brain"] < 30


def test_measure_scans_refuses_scans_on_two_grids(save, textured, phantom):
    shifted = phantom.affine.copy()
    shifted[0, 3] += 4
    with pytest.raises(GridMismatchError, match="expected the grid of `clean`"):
        measure_scans(save("enhanced.nii", textured, shifted), save("clean.nii", textured))


def test_measure_scans_refuses_a_mask_on_another_grid(save, textured):
    mask = save("mask.nii", np.ones((9, 9, 9), np.uint8))
    with pytest.raises(GridMismatchError, match=r"mask\.nii: expected the clean scan's grid"):
        measure_scans(save("enhanced.nii", textured), save("clean.nii", textured), mask)


def test_measure_scans_refuses_a_mask_that_is_no_nifti(save, textured, tmp_path):
    (tmp_path / "mask.nii").write_text("not a volume")
    with pytest.raises(VolumeError, match="expected a brain mask as NIfTI"):
        measure_scans(save("enhanced.nii", textured), save("clean.nii", textured), tmp_path / "mask.nii")


def test_measure_scans_looks_into_the_brain_of_a_whole_head(save, textured, monkeypatch):
    brain_mask = ndimage.binary_erosion(textured > 0, iterations=4)
    head = np.where(textured > 0, textured, 0.9 * (ndimage.distance_transform_edt(textured == 0) < 6)).astype(
        np.float32
    )
    spoiled = np.where(textured > 0, head, head / 2)
    enhanced, clean = save("enhanced.nii", spoiled), save("clean.nii", head)
    whole_head = measure_scans(enhanced, clean, save("mask.nii", (head > 0).astype(np.uint8)))
    monkeypatch.setattr(scans, "find_brain", lambda volume: Brain(brain_mask, False, "deepbet"))
    result = measure_scans(enhanced, clean)
    assert whole_head.metrics["psnr_brain"] < 20
    assert result.metrics["psnr_brain"] == 100
    assert result.metrics["psnr"] == whole_head.metrics["psnr"]
    assert [note for note in result.notes if "a whole head" in note] == list(result.notes)


def test_measure_scans_with_a_mask_looks_for_no_brain(save, textured, monkeypatch):
    monkeypatch.setattr(scans, "find_brain", None)
    paths = save("enhanced.nii", textured), save("clean.nii", textured), save("mask.nii", (textured > 0).astype("u1"))
    assert measure_scans(*paths).notes == ()


def test_measure_scans_tells_when_no_brain_was_found(save, textured, monkeypatch):
    def fail(volume):
        raise VolumeError("expected a brain; found none")

    paths = save("enhanced.nii", textured), save("clean.nii", textured)
    expected = measure_scans(*paths).metrics
    monkeypatch.setattr(scans, "find_brain", fail)
    result = measure_scans(*paths)
    assert result.metrics == expected
    assert "found none: the _brain metrics cover its whole foreground" in result.notes[0]
