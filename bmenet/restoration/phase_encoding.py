"""Which axis was phase encoded: the air tells.

Motion spreads what changes along the phase-encode axis, edges above all, over whole lines of the image in that
direction. So there are ghosts in the air on those lines that cross edges of the head, and none on the others. The mean
square of the air, in blocks of 4 mm, is explained by a noise floor and, for each axis, by the edges along the line
through the block; the axis whose edges explain most is the one.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from scipy import ndimage, optimize

from bmenet.imaging.blocks import block_means
from bmenet.imaging.scan import Scan

_BLOCK_MM, _EDGE_MM = 4, 2
_BRIGHT = 0.25
"""Of the 98th percentile of the smoothed head; what is darker is air."""
_CLOSING_MM, _MARGIN_MM = 6, 4
_LEAST_BLOCKS = 500
_OUTLIERS = 0.99
USUAL = 1
"""Front to back, as most T1-weighted scans are encoded: taken where nothing tells."""

AxisName = Literal["LR", "AP", "SI"]
AXIS_NAMES: tuple[AxisName, ...] = get_args(AxisName)
"""Of the axes 0, 1 and 2 of the standard grid."""


class PhaseEncoding(NamedTuple):
    """Along which axis of the standard grid motion spread, who says so, and how sure that is, 0 to 1."""

    axis: int
    source: Literal["option", "header", "air", "usual"]
    confidence: float

    @property
    def name(self) -> AxisName:
        """The axis as anatomists call it."""
        return AXIS_NAMES[self.axis]


def phase_encoding_of(scan: Scan, standard: np.ndarray, spacing_mm: int, moving2fixed: np.ndarray) -> PhaseEncoding:
    """Return what the scan's own header says, or else what the air of the scan, on the standard grid, tells."""
    if scan.phase_encode_axis is None:
        return find_phase_encoding(standard, spacing_mm)
    direction = moving2fixed[:3, :3] @ scan.volume.affine[:3, scan.phase_encode_axis]
    return PhaseEncoding(int(np.argmax(np.abs(direction))), "header", 1.0)


def find_phase_encoding(volume: np.ndarray, spacing_mm: int) -> PhaseEncoding:
    """Return the axis along which motion spread; the usual one where the air does not tell.

    The confidence is the share that the axis has in what all three explain: a third would be chance.

    Parameters
    ----------
    volume : ndarray, shape (X, Y, Z)
        On the standard grid, of any intensity scale, not negative. Where the background was emptied, as by brain
        extraction and defacing, nothing is left to tell by.
    spacing_mm : int
        Of the grid.
    """
    factor = max(_EDGE_MM // spacing_mm, 1)
    merge = _BLOCK_MM // (factor * spacing_mm)
    energy = block_means(block_means(volume * volume, factor), merge)
    smooth = ndimage.uniform_filter(block_means(volume, factor), 3)
    head = smooth > _BRIGHT * np.percentile(smooth, 98)
    steps = factor * spacing_mm
    head = ndimage.binary_closing(head, iterations=_CLOSING_MM // steps)
    beyond = ~ndimage.binary_dilation(head, iterations=_MARGIN_MM // steps)
    air = (block_means(beyond.astype(np.float32), merge) == 1) & (energy > 0)
    if np.count_nonzero(air) < _LEAST_BLOCKS:
        return PhaseEncoding(USUAL, "usual", 0.0)
    air &= energy < np.quantile(energy[air], _OUTLIERS)
    columns = [np.ones(np.count_nonzero(air))]
    for axis in range(3):
        edges = block_means(np.diff(smooth * head, axis=axis, append=0) ** 2, merge)
        line = np.broadcast_to(edges.mean(axis=axis, keepdims=True), energy.shape)[air]
        columns.append(line / max(float(line.std()), 1e-12))
    (_, *parts), _ = optimize.nnls(np.stack(columns, axis=1), energy[air].astype(np.float64))
    if not any(parts):
        return PhaseEncoding(USUAL, "usual", 0.0)
    return PhaseEncoding(int(np.argmax(parts)), "air", float(np.max(parts) / np.sum(parts)))
