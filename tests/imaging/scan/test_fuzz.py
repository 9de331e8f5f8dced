"""Whatever a file holds, it ends in a scan that can be written again, or in one of our errors."""

import struct

import nibabel as nib
import numpy as np
import pytest

from bmenet.imaging.scan import load_scan, save_scan
from bmenet.runtime.errors import VolumeError

_FILES = 2000
_HEADER_BYTES = 352


def _file(generator: np.random.Generator) -> bytes:
    """Return a good NIfTI file, small and bright in the middle."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, 12)] * 3, indexing="ij")
    data = (1000 * np.exp(-(x**2 + y**2 + z**2)) + generator.normal(0, 20, x.shape)).clip(0).astype(np.int16)
    return nib.Nifti1Image(data, np.diag([2.0, 2, 2, 1])).to_bytes()


def _mutated(whole: bytes, generator: np.random.Generator) -> bytes:
    """Return the file with some bytes of its header changed, or a field filled with an extreme value."""
    content = bytearray(whole)
    for _ in range(int(generator.integers(1, 4))):
        where = int(generator.integers(_HEADER_BYTES))
        kind = generator.integers(4)
        if kind == 0:
            content[where] = int(generator.integers(256))
        elif kind == 1:
            content[where] ^= 1 << int(generator.integers(8))
        elif kind == 2:
            value = generator.choice([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e30, 1e-30])
            content[where // 4 * 4 : where // 4 * 4 + 4] = struct.pack("<f", value)
        else:
            value = generator.choice([-(2**15), -1, 0, 1, 127, 2**15 - 1])
            content[where // 2 * 2 : where // 2 * 2 + 2] = struct.pack("<h", value)
    return bytes(content[: generator.integers(len(content))] if generator.random() < 0.05 else content)


@pytest.mark.filterwarnings("error")
def test_every_mutated_header_ends_in_a_scan_or_in_an_error_of_ours(tmp_path):
    generator = np.random.default_rng(21)
    whole, path, out = _file(generator), tmp_path / "scan.nii", tmp_path / "out.nii"
    read = 0
    for number in range(_FILES):
        path.write_bytes(_mutated(whole, generator))
        try:
            scan = load_scan(path)
            save_scan(out, scan)
        except VolumeError:
            continue
        except Exception as error:
            pytest.fail(f"file {number}: {error!r}")
        read += 1
        assert load_scan(out).volume.data.shape == scan.volume.data.shape
    assert _FILES / 4 < read < _FILES
