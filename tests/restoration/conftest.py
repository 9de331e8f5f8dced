"""An Enhancer whose network, brain extraction and registration are plain functions."""

from collections.abc import Callable
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from bmenet.imaging.brain_extraction import Brain
from bmenet.imaging.scan import Scan
from bmenet.imaging.volume import Volume
from bmenet.registration import Registration
from bmenet.restoration import enhancer as module
from bmenet.restoration.enhancer import Enhancer


@pytest.fixture(scope="session")
def smooth(phantom: Volume) -> Volume:
    """The phantom without detail finer than its voxels, so that interpolation loses little; empty background."""
    data = ndimage.gaussian_filter(phantom.data, 1.2)
    return phantom.with_data(np.where(data > 0.02, data, 0))


@pytest.fixture
def clean(phantom: Volume) -> np.ndarray:
    """The phantom, a little soft as scans are."""
    return np.where(phantom.data > 0, ndimage.gaussian_filter(phantom.data, 0.6), 0).astype(np.float32)


@pytest.fixture
def noisy(clean: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The same scan with Rician noise of standard deviation 0.05."""
    noise = 0.05 * generator.standard_normal((2, *clean.shape)).astype(np.float32)
    return np.hypot(clean + noise[0], noise[1])


@pytest.fixture
def make_scan() -> Callable[..., Scan]:
    """Return a function that makes a scan of a volume, as if it had been loaded."""

    def make(volume: Volume, dtype: str = "float32") -> Scan:
        geometry = nib.Nifti1Header()
        geometry.set_data_shape(volume.data.shape)
        geometry.set_qform(volume.affine, 1)
        geometry.set_sform(volume.affine, 1)
        return Scan(volume, volume.data.shape, geometry, np.dtype(dtype))

    return make


@pytest.fixture
def make_enhancer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Enhancer]:
    """Return a function that makes an Enhancer on the 4 mm grid from stand-ins for its parts."""

    def make(
        restore: Callable[[np.ndarray], np.ndarray] = lambda data: data,
        moving2fixed: np.ndarray | None = None,
        brain: Callable[[Volume], np.ndarray] = lambda volume: volume.data > 0,
        is_stripped: bool = True,
        is_adaptive: bool = False,
        axes: list[int | None] | None = None,
    ) -> Enhancer:
        """Note in `axes`, where they are given, along which of them the stand-in was told that motion spread."""
        transform = np.eye(4) if moving2fixed is None else moving2fixed
        monkeypatch.setattr(module, "find_brain", lambda volume, *_: Brain(brain(volume), is_stripped, "deepbet"))
        monkeypatch.setattr(module, "register", lambda volume, config: Registration(transform, 0.9, "stub"))
        monkeypatch.setattr(module, "check_aligned", lambda volume, config: Registration(np.eye(4), 0.8, "none"))
        monkeypatch.setattr(module, "white_to_grey", lambda volume: 1.3)
        if not is_adaptive:
            monkeypatch.setattr(module, "adaptive_strength", lambda *_: 1.0)

        def restore_along(data: np.ndarray, _: object = None, *, phase_encode_axis: int | None = None) -> np.ndarray:
            axes.append(phase_encode_axis)
            return restore(data)

        config = SimpleNamespace(phase_encode_first=axes is not None)
        axes = [] if axes is None else axes
        return Enhancer(SimpleNamespace(restore=restore_along, config=config, spacing_mm=4, device=torch.device("cpu")))

    return make
