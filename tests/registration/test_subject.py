from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.data.participants import FetchedScan
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.brain_extraction import Brain, find_brain
from bmenet.imaging.homogeneity import CoilField, field_size
from bmenet.imaging.resample import resample
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import load_field, load_mask, load_unit_volume
from bmenet.registration import AlignmentError, Registration, subject
from bmenet.registration.subject import failure_picture, is_done, register_subject
from bmenet.runtime.errors import VolumeError
from bmenet.runtime.files import read_json, sha256


@pytest.fixture
def layout(workspace) -> Layout:
    return Layout(workspace)


@pytest.fixture
def fetched(layout, moved_head) -> FetchedScan:
    """A raw scan in the workspace, with its row in the table."""
    layout.raw.mkdir(parents=True)
    nib.save(nib.Nifti1Image(moved_head.volume.data, moved_head.volume.affine), layout.raw / "sub-01_T1w.nii.gz")
    digest = sha256(layout.raw / "sub-01_T1w.nii.gz")
    return FetchedScan("sub-01", "sub-01_T1w.nii.gz", 30.0, "F", digest, "sample@0", "sample")


@pytest.fixture(autouse=True)
def lone_brain(monkeypatch) -> None:
    """Spare the brain extraction: all that is bright is brain."""
    monkeypatch.setattr(subject, "find_brain", lambda volume: Brain(volume.data > 0, True, "background"))


@pytest.fixture
def known_transform(moved_head, monkeypatch) -> None:
    """Spare the registration itself."""
    monkeypatch.setattr(subject, "register", lambda moving, config: Registration(moved_head.moving2fixed, 0.8, "ants"))


@pytest.mark.usefixtures("known_transform")
def test_register_subject_writes_the_clean_volume_and_all_that_leads_back(layout, fetched, moved_head, grid):
    config = load_config()
    assert register_subject(fetched, config, layout) == 0.8
    clean, sidecar = load_unit_volume(layout.clean("sub-01")), read_json(layout.transform("sub-01"))
    assert clean.grid.same_as(grid)
    assert clean.data.min() == 0
    assert clean.data.max() == 1
    np.testing.assert_array_equal(sidecar["moving2fixed"], moved_head.moving2fixed)
    raw = resample(moved_head.volume, grid, moved_head.moving2fixed).data
    field = CoilField(load_field(layout.field("sub-01"))).on(grid)
    expected = np.clip(raw / field / sidecar["intensity_scale"], 0, 1)
    np.testing.assert_allclose(clean.data, expected, atol=1e-4)
    np.testing.assert_array_equal(load_mask(layout.brain_mask("sub-01")), foreground_mask(clean.data))
    assert sidecar["field_size"] == pytest.approx(field_size(field, clean.data > 0), abs=0.02)
    assert (sidecar["age"], sidecar["sex"], sidecar["spacing_mm"]) == (30.0, "F", 4)
    assert sidecar["is_skull_stripped"] is True
    assert sidecar["dataset"] == "sample"


@pytest.mark.usefixtures("known_transform")
def test_is_done_only_while_scan_settings_code_and_result_are_the_same(layout, fetched, monkeypatch):
    config = load_config()
    assert not is_done(fetched, config, layout)
    register_subject(fetched, config, layout)
    assert is_done(fetched, config, layout)
    assert not is_done(replace(fetched, sha256="0" * 64), config, layout)
    assert not is_done(replace(fetched, age=31.0), config, layout)
    intensity = config.intensity.model_copy(update={"percentile": 98.0})
    assert not is_done(fetched, config.model_copy(update={"intensity": intensity}), layout)
    assert is_done(fetched, config.model_copy(update={"seed": config.seed + 1}), layout)
    with monkeypatch.context() as patch:
        patch.setattr(subject, "code_hash", lambda *modules: "other code")
        assert not is_done(fetched, config, layout)
    layout.clean("sub-01").unlink()
    assert not is_done(fetched, config, layout)


def test_register_subject_leaves_no_result_when_it_fails_and_a_picture_where_there_is_one(
    layout, fetched, moved_head, monkeypatch
):
    def fail(error):
        def raising(*_):
            raise error

        return raising

    monkeypatch.setattr(subject, "register", fail(AlignmentError("too little resemblance", moved_head.moving2fixed)))
    with pytest.raises(AlignmentError, match="too little resemblance"):
        register_subject(fetched, load_config(), layout)
    assert failure_picture("sub-01", layout).read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(subject, "find_brain", fail(VolumeError("found none")))
    with pytest.raises(VolumeError, match="found none"):
        register_subject(fetched, load_config(), layout)
    assert not layout.clean("sub-01").exists()
    assert not layout.transform("sub-01").exists()


def test_register_subject_aligns_a_whole_head_by_its_brain_and_keeps_both(
    layout, fetched, moved_head, assert_close, grid, monkeypatch
):
    distance = ndimage.distance_transform_edt(moved_head.volume.data < 20)
    scalp = np.where((distance > 2) & (distance <= 5), 350, 0)
    data = np.maximum(moved_head.volume.data, scalp).astype(np.float32)
    nib.save(nib.Nifti1Image(data, moved_head.volume.affine), layout.raw / fetched.file)
    monkeypatch.setattr(subject, "find_brain", find_brain)
    register_subject(fetched, load_config(), layout)
    sidecar = read_json(layout.transform("sub-01"))
    assert sidecar["is_skull_stripped"] is False
    assert_close(np.array(sidecar["moving2fixed"]), moved_head.moving2fixed)
    template, mask = load_template(grid).data, load_mask(layout.brain_mask("sub-01"))
    brain = template > 0.1
    assert 2 * (mask & brain).sum() / (mask.sum() + brain.sum()) > 0.93
    clean = load_unit_volume(layout.clean("sub-01")).data
    assert (clean[~mask] > 0.2).sum() > 0.3 * mask.sum()  # the scalp
    assert np.corrcoef(clean[brain], template[brain])[0, 1] > 0.9
