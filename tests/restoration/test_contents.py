"""What a scan may show: pathology, age, coils, cuts, other contrasts. It is restored as any other, or refused."""

from collections.abc import Callable
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.robustness.variants import with_wide_ventricles
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.contrast import LEAST_WHITE_TO_GREY, white_to_grey
from bmenet.imaging.grid import Grid, standard_grid
from bmenet.imaging.resample import resample
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume
from bmenet.networks.coarse import build_coarse
from bmenet.registration.rigid import measure_similarity
from bmenet.restoration import enhancer as module
from bmenet.restoration.coarse_net import CoarseNet
from bmenet.restoration.enhancer import REGISTRATION
from bmenet.restoration.field import FieldFinder
from bmenet.runtime.errors import VolumeError
from tests.fine_networks import smoke_config
from tests.restoration.test_enhancer import _head_motion, _native_grid


@pytest.fixture(scope="module")
def template() -> Volume:
    return load_template(standard_grid(4))


def _places(grid: Grid) -> np.ndarray:
    """Return x, y and z in mm, RAS+, shape (3, X, Y, Z)."""
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    return np.moveaxis(nib.affines.apply_affine(grid.affine, index), -1, 0)


def _ball(volume: Volume, centre: tuple, radius_mm: float) -> np.ndarray:
    return np.linalg.norm(_places(volume.grid) - np.reshape(centre, (3, 1, 1, 1)), axis=0) < radius_mm


def _one_side(grid: Grid) -> np.ndarray:
    """Return a field that falls to 15 % from one ear to the other."""
    return np.exp(np.log(0.15) * np.clip(_places(grid)[0] + 75, 0, 150) / 150).astype(np.float32)


def _seven_tesla(grid: Grid) -> np.ndarray:
    """Return a field that is more than three times as strong in the middle of the head as at its rim."""
    distance_mm = np.linalg.norm(_places(grid) - np.reshape((0, -18, 8), (3, 1, 1, 1)), axis=0)
    return np.exp(1.2 * np.exp(-((distance_mm / 50) ** 2))).astype(np.float32)


def _undersampled(volume: Volume) -> np.ndarray:
    """Keep one line of k-space in six, and the centre."""
    random = np.random.default_rng(0)
    spectrum = np.fft.fftshift(np.fft.fft2(volume.data, axes=(1, 2)), axes=(1, 2))
    is_kept = random.random(volume.data.shape[1:]) < 0.14
    is_kept[24:33, 17:24] = True
    assert 1 / is_kept.mean() == pytest.approx(6, rel=0.1)
    return np.abs(np.fft.ifft2(np.fft.ifftshift(spectrum * is_kept, axes=(1, 2)), axes=(1, 2)))


def _salt_and_pepper(volume: Volume) -> np.ndarray:
    random = np.random.default_rng(0)
    is_hit = random.random(volume.data.shape) < 0.03
    return np.where(is_hit, random.random(volume.data.shape), volume.data)


def _ring(volume: Volume) -> np.ndarray:
    outer, inner = (_ball(volume, (30, 10, 30), radius) for radius in (20, 12))
    return np.where(inner, 0.2, np.where(outer, 2.0, volume.data))


KINDS: dict[str, Callable[[Volume], np.ndarray]] = {
    "cavity": lambda volume: np.where(_ball(volume, (35, -10, 25), 25), 0.1, volume.data),
    "resection": lambda volume: np.where(_ball(volume, (55, 20, 30), 35), 0, volume.data),
    "ring tumour": _ring,
    "ventricles at 90 years": lambda volume: with_wide_ventricles(volume, foreground_mask(volume.data), 8.0).data,
    "field that falls to 15 % over one side": lambda volume: volume.data * _one_side(volume.grid),
    "field as at 7 T": lambda volume: volume.data * _seven_tesla(volume.grid),
    "one line of k-space in six": _undersampled,
    "salt and pepper": _salt_and_pepper,
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_unusual_t1_resembles_the_template_and_passes_for_t1(template, kind):
    scan = template.with_data(np.asarray(KINDS[kind](template), np.float32))
    assert np.abs(scan.data - template.data).max() > 0.3
    assert measure_similarity(scan, template, np.eye(4)) > REGISTRATION.min_similarity + 0.2
    assert white_to_grey(scan) > LEAST_WHITE_TO_GREY + 0.1


def test_a_cavity_belongs_to_the_brain_and_a_resection_does_not(template):
    whole = foreground_mask(template.data)
    cavity, resection = (foreground_mask(KINDS[kind](template) * whole) for kind in ("cavity", "resection"))
    assert cavity[_ball(template, (35, -10, 25), 25) & whole].all()
    removed = _ball(template, (55, 20, 30), 25) & whole
    assert removed.sum() > 100
    assert not resection[removed].any()


# Brightness of fluid's rim, fluid, grey and white matter, and the brightest, where the template has 0.05 to 1.
CONTRASTS = {
    "T2": (0.9, 1.0, 0.6, 0.35, 0.3),
    "FLAIR": (0.1, 0.15, 0.75, 0.6, 0.55),
    "PD": (0.9, 0.95, 0.9, 0.75, 0.7),
    "T1 map": (1.0, 0.9, 0.33, 0.2, 0.18),
}


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_another_contrast_is_refused_and_can_be_forced(make_enhancer, make_scan, template, monkeypatch, contrast):
    tissues = np.interp(template.data, [0, 0.05, 0.3, 0.59, 0.9, 1], [0, *CONTRASTS[contrast]])
    scan = make_scan(template.with_data(900 * tissues))
    enhancer = make_enhancer()
    monkeypatch.setattr(module, "white_to_grey", white_to_grey)
    with pytest.raises(VolumeError, match="expected a T1-weighted scan, white matter brighter than grey"):
        enhancer.enhance(scan)
    assert replace(enhancer, force=True).enhance(scan).strength == 1


class _Answer(nn.Module):
    """A field network that tells a log-field at 4 mm."""

    def __init__(self, log_field: np.ndarray) -> None:
        super().__init__()
        self.log_field = torch.from_numpy(log_field)[None, None]

    def forward(self, head: torch.Tensor) -> torch.Tensor:
        return self.log_field


@pytest.mark.parametrize("make", [_one_side, _seven_tesla], ids=["falls to 15 % over one side", "as at 7 T"])
def test_a_steep_field_that_is_found_is_taken_out(template, make):
    """The bounds on fields, made for mistakes of the network, leave room for the steepest coils that there are."""
    field = make(template.grid)
    config = smoke_config().coarse.model_copy(update={"precision": "fp32"})
    net = CoarseNet(build_coarse(config).eval(), config, 4, field=FieldFinder(_Answer(np.log(field))))
    restored = net.restore(700 * template.data * field)
    bright = template.data > 0.4
    evenness = (restored[bright] / template.data[bright]).std() / (restored[bright] / template.data[bright]).mean()
    assert evenness < 0.05
    assert field[bright].std() / field[bright].mean() > 0.2


@pytest.mark.parametrize("kind", ["contrast medium", "ring tumour"])
def test_tissue_brighter_than_any_in_training_keeps_its_brightness(make_enhancer, make_scan, template, kind):
    """The network cuts off at white matter, which is the most it ever saw."""
    data = _ring(template) if kind == "ring tumour" else template.data.copy()
    if kind == "contrast medium":
        for centre in ((0, -60, 20), (0, -80, 10), (40, -30, 40)):
            data = np.where(_ball(template, centre, 10), 1.9, data)
    scan, bright = make_scan(template.with_data(800 * data)), data > 1.5
    enhancer = make_enhancer(lambda seen: np.minimum(seen, 800))
    enhanced = enhancer.enhance(scan)
    after = enhanced.scan.volume.data
    assert np.median(after[bright] / scan.volume.data[bright]) > 0.9
    assert enhanced.too_bright_litres == pytest.approx(64e-6 * bright.sum(), rel=0.6)
    assert enhancer.enhance(make_scan(template)).too_bright_litres == 0


def test_a_neck_and_shoulders_are_not_shown_to_the_registration_and_stay_beyond_the_grid(
    make_enhancer, make_scan, smooth, monkeypatch
):
    native = resample(smooth, _native_grid("RAS", extent=80))
    brain_mask = native.data > 0.05
    body = np.zeros(native.data.shape, bool)
    body[30:50, 30:50, :24] = body[5:75, 25:55, :12] = True
    scan = make_scan(native.with_data(np.where(body & ~brain_mask, 2.0, native.data)))
    enhancer = make_enhancer(lambda data: 0.5 * data, brain=lambda volume: brain_mask, is_stripped=False)
    shown, register = [], module.register
    monkeypatch.setattr(
        module, "register", lambda volume, config: shown.append(volume.data) or register(volume, config)
    )
    enhanced = enhancer.enhance(scan).scan.volume.data
    assert not shown[0][~brain_mask].any()
    np.testing.assert_allclose(shown[0][brain_mask], scan.volume.data[brain_mask])
    np.testing.assert_array_equal(enhanced[..., :8], scan.volume.data[..., :8])
    assert enhanced[40, 40, 40] == pytest.approx(0.5 * scan.volume.data[40, 40, 40], rel=0.1)


@pytest.mark.parametrize("end", [0, -1], ids=["below", "above"])
@pytest.mark.parametrize("width_mm", [1.5, 7.0], ids=["thin slices", "thick slices"])
def test_a_brain_that_ends_at_a_face_is_given_back_from_slices_of_any_width(
    make_enhancer, make_scan, smooth, width_mm, end
):
    """Half of the brain, by a network that changes nothing: no darker at the face than the scan."""
    extent = round(80 / width_mm)
    affine = np.diag([4.0, 4.0, width_mm, 1.0])
    affine[:3, 3] = (-78, -128, 8 if end == 0 else 8 - (extent - 1) * width_mm)
    native = resample(smooth, Grid((40, 56, extent), affine))
    enhanced = make_enhancer(moving2fixed=_head_motion()).enhance(make_scan(native)).scan.volume
    assert enhanced.grid.same_as(native.grid)
    before, after = native.data[..., end], enhanced.data[..., end]
    bright = before > 0.5
    assert bright.sum() > 50
    assert after[bright].mean() == pytest.approx(before[bright].mean(), rel=0.05)


def test_a_scan_stored_from_right_to_left_is_restored_as_from_left_to_right(make_enhancer, make_scan, smooth):
    """The network makes the left half brighter, so a mirrored result would show."""

    def brighten_left(data):
        return data * np.where(np.arange(data.shape[0]) < data.shape[0] // 2, 1.5, 1.0)[:, None, None]

    native = resample(smooth, _native_grid("RAS"))
    affine = native.affine @ np.diag([-1.0, 1, 1, 1])
    affine[:3, 3] = native.affine[:3, :3] @ [native.data.shape[0] - 1, 0, 0] + native.affine[:3, 3]
    mirrored = Volume(np.ascontiguousarray(native.data[::-1]), affine)
    enhancer = make_enhancer(brighten_left, _head_motion())
    one, other = (enhancer.enhance(make_scan(volume)).scan.volume.data for volume in (native, mirrored))
    np.testing.assert_allclose(other[::-1], one, atol=1e-4)
    assert np.abs(one[::-1] - one).max() > 0.1
