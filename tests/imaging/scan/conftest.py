"""NIfTI files of every kind, made byte by byte from one phantom."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bmenet.imaging.volume import Volume


@pytest.fixture
def head(phantom: Volume, generator: np.random.Generator) -> np.ndarray:
    """Intensities of a noisy phantom, 0 to about 900, shape (40, 56, 40), int16."""
    noisy = 900 * phantom.data + 20 * generator.random(phantom.data.shape) * (phantom.data > 0)
    return noisy.astype(np.int16)


@pytest.fixture
def write(tmp_path: Path, head: np.ndarray, phantom: Volume) -> Callable[..., Path]:
    """Return a function that writes a NIfTI file: data, affine, then header fields by name."""

    def write_nifti(
        data: np.ndarray = head, affine: np.ndarray | None = phantom.affine, name: str = "scan.nii", **fields: object
    ) -> Path:
        image = nib.Nifti1Image(data, affine, dtype=data.dtype)
        image.header.set_xyzt_units("mm", "sec")
        if affine is not None:
            image.set_qform(affine, 1)
            image.set_sform(affine, 1)
        path = tmp_path / name
        nib.save(image, path)
        if fields:
            block = bytearray(path.read_bytes())
            header = nib.Nifti1Header(bytes(block[:348]), check=False)
            for field, value in fields.items():
                header[field] = value
            block[:348] = header.binaryblock
            path.write_bytes(block)
        return path

    return write_nifti
