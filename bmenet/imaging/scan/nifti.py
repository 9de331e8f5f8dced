"""The stored counts of one NIfTI volume, whatever they mean."""

from pathlib import Path

import numpy as np

from bmenet.imaging.scan.header import Header, read_header
from bmenet.imaging.scan.stream import open_stream


def read_nifti(path: Path) -> tuple[Header, np.ndarray]:
    """Read the checked header and the counts of a NIfTI-1 or NIfTI-2 file, gzip or plain by content.

    Returns
    -------
    header : Header
    counts : ndarray, shape `header.shape`, read-only
        As stored, in the byte order of the file.

    Raises
    ------
    VolumeError
        If the file is not one whole 3D volume; after little time and memory, whatever the header claims.
    """
    with open_stream(path) as stream:
        header = read_header(stream)
        buffer = stream.read(header.data_bytes)
        stream.finish()
    return header, np.frombuffer(buffer, dtype=header.dtype).reshape(header.shape, order="F")
