import nibabel as nib
import numpy as np
import pytest

from bmenet.evaluation.quality import MEASURES, scans
from bmenet.evaluation.quality.measure import Quality
from bmenet.evaluation.quality.scans import ScanQuality, compare, measure_scan


@pytest.fixture
def head_path(tmp_path, noisy):
    nib.save(nib.Nifti1Image(noisy.data, noisy.affine), tmp_path / "head.nii.gz")
    return tmp_path / "head.nii.gz"


@pytest.fixture(autouse=True)
def known_regions(monkeypatch, head):
    """Spare the brain extraction and the segmentation."""
    monkeypatch.setattr(scans, "find_brain", lambda volume, device: head.brain)
    monkeypatch.setattr(scans, "find_tissues", lambda volume, brain_mask: head.tissues)


def _result(cjv=0.5, litres=1.2, is_stripped=False, spacing_mm=(1.0, 1.0, 1.0)):
    return ScanQuality(Quality(dict.fromkeys(MEASURES) | {"cjv": cjv}, {}), is_stripped, litres, spacing_mm, ())


def test_measure_scan_measures_the_file(head_path, head):
    result = measure_scan(head_path)
    assert result.quality.values["snr_wm"] == pytest.approx(50, rel=0.02)
    assert result.brain_litres == pytest.approx(head.brain.brain_mask.sum() * 27 / 1e6)
    assert not result.is_skull_stripped


def test_measure_scan_hands_on_what_the_reader_assumed(tmp_path, noisy):
    data = noisy.data.copy()
    data[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(data, noisy.affine), tmp_path / "nan.nii")
    assert str(tmp_path / "nan.nii") in measure_scan(tmp_path / "nan.nii").notes[0]


def test_compare_subtracts_where_both_are_defined_and_tells_what_makes_two_scans_hard_to_compare():
    changes, notes = compare(_result(cjv=0.5), _result(cjv=0.4))
    assert list(changes) == list(MEASURES)
    assert changes["cjv"] == pytest.approx(-0.1)
    assert (changes["efc"], notes) == (None, ())
    for other in (_result(is_stripped=True), _result(litres=1.0), _result(spacing_mm=(2.0, 2.0, 2.0))):
        assert len(compare(_result(), other)[1]) == 1
