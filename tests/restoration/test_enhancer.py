"""From native space to the standard grid and back: same grid, same scale, left is left, empty stays empty."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bmenet.imaging.grid import Grid
from bmenet.imaging.resample import resample
from bmenet.imaging.volume import Volume
from bmenet.restoration import enhancer as module
from bmenet.restoration import phase_encoding
from bmenet.restoration.phase_encoding import PhaseEncoding
from bmenet.runtime.errors import GridMismatchError, VolumeError

ORIENTATIONS = ["RAS", "LAS", "LPS", "RPI", "AIL", "SPL", "PIR", "ILP"]


def _native_grid(axes: str, width_mm: float = 4.0, tilt_deg: float = 0.0, extent: int = 64) -> Grid:
    """Return a cube of voxels around the centre of the standard field of view."""
    directions = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(axes), (extent,) * 3)[:3, :3]
    turn = Rotation.from_rotvec(tilt_deg * np.array([2, 1, 2]) / 3, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ directions * width_mm
    affine[:3, 3] = np.array([0, -18, 8]) - affine[:3, :3] @ np.full(3, (extent - 1) / 2)
    return Grid((extent,) * 3, affine)


def _head_motion() -> np.ndarray:
    """Return a rigid transform of a few degrees and millimetres."""
    moving2fixed = np.eye(4)
    moving2fixed[:3, :3] = Rotation.from_euler("xyz", [4, -6, 3], degrees=True).as_matrix()
    moving2fixed[:3, 3] = (3, -5, 4)
    return moving2fixed


def _empty_around(native: Volume) -> Volume:
    return native.with_data(np.where(native.data > 0.02, native.data, 0))


@pytest.mark.parametrize("tilt_deg", [0.0, 30.0])
@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_enhance_with_an_identity_network_gives_the_scan_back(make_enhancer, make_scan, smooth, axes, tilt_deg):
    moving2fixed = _head_motion()
    grid = _native_grid(axes, tilt_deg=tilt_deg)
    native = _empty_around(resample(smooth, grid, np.linalg.inv(moving2fixed)))
    scan = make_scan(native, "int16")
    enhanced = make_enhancer(moving2fixed=moving2fixed).enhance(scan).scan
    assert enhanced.volume.data.shape == native.data.shape
    assert (enhanced.geometry, enhanced.dtype) == (scan.geometry, scan.dtype)
    np.testing.assert_array_equal(enhanced.volume.affine, native.affine)
    # Half a voxel of displacement would leave an error of 0.1 at the edge of the brain.
    error = np.sqrt(np.mean((enhanced.volume.data - native.data)[native.data > 0] ** 2))
    assert error < 0.02


@pytest.mark.parametrize("gain", [1e-3, 1.0, 4095.0, 1e6])
def test_enhance_keeps_the_intensity_scale(make_enhancer, make_scan, smooth, gain):
    native = resample(smooth, _native_grid("RAS"))
    enhancer = make_enhancer(moving2fixed=_head_motion())
    once = enhancer.enhance(make_scan(native)).scan.volume.data
    again = enhancer.enhance(make_scan(native.with_data(native.data * gain))).scan.volume.data
    np.testing.assert_allclose(again, once * gain, rtol=1e-3, atol=1e-4 * gain)


@pytest.mark.parametrize(
    ("told", "option", "axis", "source"),
    [(None, None, 0, "air"), (0, None, 2, "header"), (0, "LR", 0, "option"), (None, "SI", 2, "option")],
)
def test_enhance_takes_the_phase_encode_axis_from_the_option_the_header_or_the_scan(
    make_enhancer, make_scan, smooth, monkeypatch, told, option, axis, source
):
    monkeypatch.setattr(phase_encoding, "find_phase_encoding", lambda *_: PhaseEncoding(0, "air", 0.7))
    axes: list[int | None] = []
    scan = replace(make_scan(_empty_around(resample(smooth, _native_grid("SPL")))), phase_encode_axis=told)
    enhanced = replace(make_enhancer(axes=axes), phase_encode_axis=option).enhance(scan)
    assert axes == [axis]
    assert (enhanced.phase_encoding.axis, enhanced.phase_encoding.source) == (axis, source)
    assert enhanced.told()["phase_encode_axis"] == ("LR", "AP", "SI")[axis]


def test_enhance_asks_for_no_axis_where_the_network_does_not(make_enhancer, make_scan, smooth):
    enhanced = make_enhancer().enhance(make_scan(resample(smooth, _native_grid("RAS"))))
    assert enhanced.phase_encoding is None
    assert enhanced.told()["phase_encode_axis"] is None


def test_enhance_leaves_an_empty_background_empty(make_enhancer, make_scan, smooth):
    native = _empty_around(resample(smooth, _native_grid("PIR")))
    enhanced = make_enhancer(lambda data: data + 0.1, _head_motion()).enhance(make_scan(native)).scan.volume.data
    assert (enhanced[native.data == 0] == 0).all()
    assert (enhanced[native.data > 0.3] > native.data[native.data > 0.3]).mean() > 0.9


@pytest.mark.parametrize("axes", ["RAS", "LAS", "LPS", "PIR"])
def test_enhance_keeps_left_on_the_left(make_enhancer, make_scan, smooth, axes):
    def brighten_left(data):
        return data * np.where(np.arange(data.shape[0]) < data.shape[0] // 2, 1.5, 1.0)[:, None, None]

    native = resample(smooth, _native_grid(axes))
    enhanced = make_enhancer(brighten_left).enhance(make_scan(native)).scan.volume
    x_mm = nib.affines.apply_affine(native.affine, np.moveaxis(np.indices(native.data.shape), 0, -1))[..., 0]
    gain = enhanced.data / np.maximum(native.data, 1e-6)
    inside = native.data > 0.3
    assert np.median(gain[inside & (x_mm < -12)]) == pytest.approx(1.5, abs=0.05)
    assert np.median(gain[inside & (x_mm > 12)]) == pytest.approx(1.0, abs=0.05)


@pytest.fixture
def head(make_scan, smooth, generator):
    """A scan with tissue all around its brain, and the mask of the brain."""
    native = resample(smooth, _native_grid("LAS"))
    brain_mask = native.data > 0.05
    around = 0.3 + 0.2 * generator.random(native.data.shape)
    return make_scan(native.with_data(np.where(brain_mask, native.data, around))), brain_mask


def test_enhance_of_a_whole_head_restores_all_of_it_without_a_seam_at_the_brain(make_enhancer, head):
    scan, brain_mask = head
    shown = []
    enhancer = make_enhancer(
        lambda data: shown.append(data) or 0.5 * data, brain=lambda volume: brain_mask, is_stripped=False
    )
    enhanced = enhancer.enhance(scan).scan.volume.data
    rim = ndimage.binary_dilation(brain_mask, iterations=2) & ~ndimage.binary_erosion(brain_mask, iterations=2)
    places = nib.affines.apply_affine(scan.volume.affine, np.moveaxis(np.indices(rim.shape), 0, -1))
    rim &= (np.abs(places - [0, -18, 8]) < np.array([80, 112, 80]) - 16).all(axis=-1)  # no ramp of the grid's end
    smoothed = ndimage.gaussian_filter(scan.volume.data, 1)[rim], ndimage.gaussian_filter(enhanced, 1)[rim]
    np.testing.assert_allclose(smoothed[1], 0.5 * smoothed[0], atol=0.05)
    assert (shown[0] > 0).mean() > 0.9


def test_enhance_with_only_brain_changes_nothing_else_in_a_whole_head(make_enhancer, head):
    scan, brain_mask = head
    enhancer = make_enhancer(lambda data: 0.5 * data, brain=lambda volume: brain_mask, is_stripped=False)
    enhanced = replace(enhancer, only_brain=True).enhance(scan).scan.volume.data
    before = scan.volume.data
    deep = ndimage.binary_erosion(brain_mask, iterations=3)
    np.testing.assert_allclose(enhanced[deep], 0.5 * before[deep], atol=0.06)
    changed = enhanced != before
    assert not (changed & ~ndimage.binary_dilation(brain_mask, np.ones((3, 3, 3)), iterations=2)).any()


def test_enhance_of_a_head_that_goes_on_below_the_grid_leaves_no_edge_there(make_enhancer, make_scan, smooth):
    native = resample(smooth, _native_grid("RAS", extent=80))
    filled = native.with_data(np.ones_like(native.data))
    enhancer = make_enhancer(lambda data: 0.5 * data, brain=lambda volume: native.data > 0.05, is_stripped=False)
    enhanced = enhancer.enhance(make_scan(filled)).scan.volume.data
    column = enhanced[40, 40]
    assert column[0] == 1
    assert column[40] == pytest.approx(0.5, abs=0.01)
    assert np.abs(np.diff(column)).max() < 0.3  # a ramp of two voxels


@pytest.mark.parametrize(("axis", "end"), [(0, 0), (0, -1), (1, 0), (1, -1), (2, 0), (2, -1)])
def test_enhance_keeps_the_brightness_of_a_brain_that_the_field_of_view_cuts_off(
    make_enhancer, make_scan, smooth, axis, end
):
    whole = resample(smooth, _native_grid("RAS"))
    extent = whole.data.shape[axis]
    tissue = np.flatnonzero(whole.data.max(axis=tuple({0, 1, 2} - {axis})) > 0.3)
    cut = slice(tissue[0] + 4, extent) if end == 0 else slice(0, tissue[-1] - 3)
    part = tuple(cut if other == axis else slice(None) for other in range(3))
    affine = whole.affine.copy()
    affine[:3, 3] += affine[:3, axis] * (cut.start or 0)
    native = Volume(np.ascontiguousarray(whole.data[part]), affine)
    enhanced = make_enhancer(moving2fixed=_head_motion()).enhance(make_scan(native)).scan.volume.data
    before, after = (np.take(data, end, axis=axis) for data in (native.data, enhanced))
    bright = before > 0.5
    assert bright.sum() > 50
    assert after[bright].mean() == pytest.approx(before[bright].mean(), rel=0.03)


def test_enhance_refuses_another_contrast_unless_it_is_forced(make_enhancer, make_scan, smooth, monkeypatch):
    enhancer, scan = make_enhancer(), make_scan(resample(smooth, _native_grid("RAS")))
    monkeypatch.setattr(module, "white_to_grey", lambda volume: 0.9)
    with pytest.raises(VolumeError, match=r"white matter 0\.90 times as bright"):
        enhancer.enhance(scan)
    assert replace(enhancer, force=True).enhance(scan).strength == 1


def test_template_space_is_empty_beyond_the_field_of_view_of_the_scan(make_enhancer, make_scan):
    native = Volume(np.ones((64, 64, 20), np.float32), _native_grid("RAS").affine)
    brain = np.zeros(native.data.shape, bool)
    brain[20:44, 20:44, 5:15] = True
    enhancer = make_enhancer(lambda data: data + 0.1, brain=lambda volume: brain, is_stripped=False)
    result = enhancer.enhance(make_scan(native), space="template").scan.volume
    corners_mm = nib.affines.apply_affine(native.affine, [[-0.5] * 3, [63.5, 63.5, 19.5]])
    z_mm = result.affine[2, 3] + 4 * np.arange(result.data.shape[2])
    shown = (z_mm > corners_mm[0, 2]) & (z_mm < corners_mm[1, 2])
    assert 0 < shown.sum() < shown.size
    assert (result.data[10:30, 20:40][:, :, shown] > 0.5).all()
    assert (result.data[:, :, ~shown] == 0).all()


def test_enhance_keeps_what_lies_beyond_the_standard_field_of_view(make_enhancer, make_scan, smooth):
    shift = np.eye(4)
    shift[2, 3] = -80  # half of the brain leaves the field of view
    native = _empty_around(resample(smooth, _native_grid("RAS")))
    enhanced = make_enhancer(lambda data: 0 * data, shift).enhance(make_scan(native)).scan.volume.data
    z_mm = native.affine[2, 3] + 4 * np.arange(64) - 80
    below = z_mm < -72
    assert below.any()
    np.testing.assert_array_equal(enhanced[..., below], native.data[..., below])
    np.testing.assert_allclose(enhanced[..., z_mm > -60], 0, atol=1e-6)


def test_enhance_of_a_noisy_stripped_scan_removes_the_noise_beyond_the_field_of_view(
    make_enhancer, make_scan, smooth, generator
):
    native = resample(smooth, _native_grid("RAS", extent=80))
    noisy = native.with_data(native.data + 0.1 * generator.random(native.data.shape))
    enhancer = make_enhancer(lambda data: 0 * data, brain=lambda volume: native.data > 0.05)
    assert (enhancer.enhance(make_scan(noisy)).scan.volume.data == 0).all()


def test_enhance_shows_the_network_the_aligned_brain_and_lays_it_on_the_standard_grid(make_enhancer, make_scan, smooth):
    shown = []
    native = resample(smooth, _native_grid("ILP"), np.linalg.inv(_head_motion()))
    enhancer = make_enhancer(lambda data: shown.append(data) or data, _head_motion())
    enhanced = enhancer.enhance(make_scan(native), "template").scan
    inside = smooth.data > 0.02
    assert np.corrcoef(shown[0][inside], smooth.data[inside])[0, 1] > 0.98
    assert enhanced.volume.grid.same_as(enhancer.grid)
    assert int(enhanced.geometry["sform_code"]) == 4
    assert np.abs(enhanced.volume.data - smooth.data).mean() < 0.01


def test_enhance_does_not_register_a_scan_on_the_standard_grid(make_enhancer, make_scan, smooth):
    heard = []
    enhanced = make_enhancer(moving2fixed=_head_motion()).enhance(
        make_scan(smooth), progress=lambda step, fraction: heard.append((step, fraction))
    )
    assert heard == [(step, fraction) for step in enhanced.timings for fraction in (0.0, 1.0)]
    np.testing.assert_allclose(enhanced.scan.volume.data, smooth.data, atol=1e-6)
    assert enhanced.is_in_standard_space
    assert (enhanced.registration.backend, enhanced.registration.similarity) == ("none", 0.8)


def test_restore_refuses_another_grid(make_enhancer, smooth):
    with pytest.raises(GridMismatchError, match="standard grid of 4 mm"):
        make_enhancer().restore(resample(smooth, _native_grid("RAS")))
