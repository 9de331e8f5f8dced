"""Small scans on disk."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest


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
