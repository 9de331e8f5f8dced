import numpy as np
import pytest

from benchmarks.robustness.subjects import VARIANTS, load_subject, mask_path, source_path
from bmenet.data.layout import Layout
from bmenet.imaging.volume import save_unit_volume
from bmenet.runtime.errors import VolumeError
from tests.registered import head_around, save_registered


@pytest.fixture
def raw(tmp_path, phantom):
    """A stripped scan, 4 mm, as a file."""
    path = tmp_path / "sub-01_T1w.nii"
    save_unit_volume(path, phantom)
    return path


@pytest.fixture
def _finds_the_phantom(monkeypatch):
    """The network of the brain extraction knows no phantoms."""
    monkeypatch.setattr(
        "bmenet.imaging.brain_extraction.extract_brain", lambda volume, device="cpu": volume.data > 0.04
    )


@pytest.mark.usefixtures("_finds_the_phantom")
@pytest.mark.parametrize("variant", ["native", "native_2"])
def test_a_native_scan_keeps_its_place_and_volume_on_any_grid(raw, phantom, variant):
    subject = load_subject(raw, None, VARIANTS[variant])
    spacing_mm = VARIANTS[variant].spacing_mm or 4.0
    assert subject.clean.grid.spacing_mm == pytest.approx((spacing_mm,) * 3)
    litres = subject.brain_mask.sum() * spacing_mm**3
    assert litres == pytest.approx((phantom.data > 0.04).sum() * 64, rel=0.05)
    centres = [
        affine[:3, :3] @ np.argwhere(inside).mean(axis=0) + affine[:3, 3]
        for inside, affine in (
            (subject.brain_mask, subject.clean.affine),
            (phantom.data > 0.04, phantom.affine),
        )
    ]
    assert centres[0] == pytest.approx(centres[1], abs=0.5)
    assert not subject.clean.data[~subject.brain_mask].any()


def test_a_changed_scan_keeps_its_brain(tmp_path, phantom):
    layout, (head, brain_mask) = Layout(tmp_path), head_around(phantom)
    save_registered(layout, "sub-01", head, brain_mask)
    plain, gamma = (
        load_subject(source_path("sub-01", variant, layout), mask_path("sub-01", variant, layout), variant)
        for variant in (VARIANTS["plain"], VARIANTS["gamma_1.5"])
    )
    np.testing.assert_array_equal(plain.brain_mask, brain_mask)
    np.testing.assert_array_equal(plain.brain_mask, gamma.brain_mask)
    assert gamma.clean.data.mean() < plain.clean.data.mean()


def test_a_subject_without_a_raw_scan_is_named(tmp_path):
    with pytest.raises(VolumeError, match=r"sub-09: expected its scan in .*raw; got none"):
        source_path("sub-09", VARIANTS["native"], Layout(tmp_path))
