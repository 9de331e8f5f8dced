"""Fixtures for every test: a seeded generator, a tiny brain-like phantom, a workspace of its own."""

import os
import signal

# Before any library that reads them: one thread, no colours, no calls home.
os.environ.update(OMP_NUM_THREADS="1", ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS="1", NO_COLOR="1", DVC_NO_ANALYTICS="1")

from collections.abc import Callable
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bmenet.config.profiles import Profiles
from bmenet.imaging.grid import Grid, standard_grid
from bmenet.imaging.volume import Volume

# A shell starts background jobs with Ctrl-C ignored, and processes that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).parents[1]
_LONGEST = "test_pipeline_smoke.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the file that takes longest: processes that share the files then end at about the same time."""
    items.sort(key=lambda item: item.path.name != _LONGEST)


@pytest.fixture
def generator() -> np.random.Generator:
    """A random generator that is the same in every run."""
    return np.random.default_rng(2026)


@pytest.fixture(scope="session")
def grid() -> Grid:
    """The standard grid at 4 mm, (40, 56, 40)."""
    return standard_grid(4)


@pytest.fixture(scope="session")
def phantom(grid: Grid) -> Volume:
    """A brain-like clean volume: a folded ellipsoid of grey and white matter with two dark ventricles."""
    axes = [np.linspace(-1, 1, extent) for extent in grid.shape]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    radius = np.sqrt((x / 0.8) ** 2 + (y / 0.85) ** 2 + ((z - 0.1 * y) / 0.75) ** 2)
    folds = 0.05 * np.sin(9 * x) * np.sin(11 * y + 1) * np.sin(8 * z)
    data = np.where(radius + folds < 1, 0.5, 0.0)
    data[radius + 2 * folds < 0.75] = 0.85
    for side in (-1, 1):
        data[((x - 0.15 * side) / 0.1) ** 2 + ((y - 0.05) / 0.35) ** 2 + ((z - 0.05) / 0.2) ** 2 < 1] = 0.15
    return Volume(data.astype(np.float32), grid.affine)


@cache
def _smoke() -> str:
    return Profiles().text("smoke")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty workspace with params.yaml = smoke, as the current folder."""
    (tmp_path / "params.yaml").write_text(_smoke())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write_scan() -> Callable[..., Path]:
    """A function that writes a NIfTI scan of 12 x 13 x 14 voxels, different for every path, with text in its header."""

    def write(path: Path) -> Path:
        random = np.random.default_rng(sum(str(path.name).encode()))
        image = nib.Nifti1Image(random.integers(0, 900, (12, 13, 14), dtype=np.int16), np.diag([2.0, 2, 2, 1]))
        image.header["descrip"] = b"CANARY"
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"CANARY"))
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(image, path)
        return path

    return write
