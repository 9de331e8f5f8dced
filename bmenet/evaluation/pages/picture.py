"""A still before and after in three planes, for paper and for browsers without WebGL 2."""

import nibabel as nib
import numpy as np
from scipy import ndimage

from bmenet.evaluation.pages.layers import centre_index
from bmenet.imaging.figures import DIFFERENCE_LIMIT, PLANES, Tile, draw_tiles, png_bytes
from bmenet.imaging.volume import Volume

WINDOW_PERCENTILE = 99.5
"""Of the input's intensities above 0: what is drawn white."""


def before_after_picture(before: Volume, after: Volume, std: Volume | None = None) -> bytes:
    """Draw before, after and their absolute difference as PNG, cut through the middle of what changed.

    Parameters
    ----------
    before, after : Volume
        On one grid of any orientation, any intensity scale.
    std : Volume, optional
        Spread of the samples on the same grid, drawn like the difference.
    """
    difference = np.abs(after.data - before.data)
    columns = {"before": before.data, "after": after.data, "|after − before|": difference}
    if std is not None:
        columns["std of the samples"] = std.data
    positive = before.data[before.data > 0]
    white = float(np.percentile(positive, WINDOW_PERCENTILE)) if positive.size else 1.0
    centre = [round(place) for place in centre_index(_upright(difference, before.affine)[0])]
    cuts = [_cut(data / white, before.affine, centre) for data in columns.values()]
    rows = [
        [Tile(cut[plane], is_difference=number > 1) for number, cut in enumerate(cuts)]
        for plane in ("axial", "coronal", "sagittal")
    ]
    return png_bytes(draw_tiles(rows, list(columns)))


def picture_caption() -> str:
    """Say what the colours of `before_after_picture` stand for."""
    return (
        f"White is the {WINDOW_PERCENTILE:g}th percentile of the input's intensities above 0. In the columns on the "
        f"right black is 0 and the brightest colour {100 * DIFFERENCE_LIMIT:g} % of that. The left is on the left."
    )


def _upright(data: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, tuple[float, ...]]:
    """Return a volume turned to the axes nearest to RAS+, and its voxel sizes."""
    image = nib.as_closest_canonical(nib.Nifti1Image(data.astype(np.float32), affine))
    return np.asarray(image.dataobj), image.header.get_zooms()


def _cut(data: np.ndarray, affine: np.ndarray, centre: list[int]) -> dict[str, np.ndarray]:
    """Return a slice per plane with square pixels; anterior or superior is up, the left is left."""
    upright, sizes = _upright(data, affine)
    smallest = min(sizes)
    slices = {}
    for plane, axis in PLANES.items():
        pixels = np.take(upright, centre[axis], axis=axis).T[::-1]
        across, up = (size for other, size in enumerate(sizes) if other != axis)
        slices[plane] = ndimage.zoom(pixels, (up / smallest, across / smallest), order=1)
    return slices
