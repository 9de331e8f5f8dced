"""The smooth field that a scanner leaves in a clean scan: found by N4, taken out, its size said."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bmenet.imaging.blocks import block_means
from bmenet.imaging.grid import Grid, standard_grid
from bmenet.imaging.volume import Volume

FIELD_SPACING_MM = 4
"""A field is so smooth that this grid, which is what is kept of it, loses nothing."""

_N4 = {"shrink_factor": 2, "convergence": {"iters": [100, 100, 100], "tol": 1e-7}, "spline_param": 100.0}
"""Nodes of the spline 100, 50, 25 mm apart: with 12 mm N4 takes the difference of grey and white matter in the
studyforrest head for a field. It converges slowly: after 20 iterations a level half of a field of 0.3 was left."""

_WEIGHT_BEYOND_BRAIN = 0.15
"""Skin, fat and muscle say less of the field than a brain, which has tissues that are everywhere alike."""

_SMOOTHING_MM = 8.0
_LEAST_SIGNAL = 1e-6


@dataclass(frozen=True)
class CoilField:
    """A positive smooth field on a grid of 4 mm, whose logarithm has a mean of 0 in the brain."""

    volume: Volume

    def on(self, grid: Grid) -> np.ndarray:
        """Return the field on another grid of the same space, (X, Y, Z), float32; beyond its edge it goes on as is."""
        log_field = self.volume.with_data(np.log(self.volume.data))
        index_map = np.linalg.inv(log_field.affine) @ grid.affine
        sampled = ndimage.affine_transform(
            log_field.data, index_map, output_shape=grid.shape, output=np.float32, order=3, mode="nearest"
        )
        return np.exp(sampled)


def find_field(volume: Volume, brain_mask: np.ndarray, head_mask: np.ndarray) -> CoilField:
    """Estimate the field of a clean volume on a standard grid by N4, over all of the head, the brain above all.

    `volume` has any intensity scale, non-negative; both masks, its shape. Where there is no tissue the field goes on
    smoothly from where there is.

    References
    ----------
    Tustison et al. (2010), N4ITK: improved N3 bias correction, IEEE Trans Med Imaging 29(6):1310-1320,
    doi:10.1109/TMI.2010.2046908.
    """
    import ants  # Late: ITK reads its number of threads once, when it is loaded.

    coarse, brain, head = (averaged(volume.with_data(data)) for data in (volume.data, brain_mask, head_mask))
    tissue = head.data > 0.5
    weight = np.where(brain.data > 0.5, 1, _WEIGHT_BEYOND_BRAIN) * tissue
    signal = coarse.data / max(float(np.median(coarse.data[tissue])), _LEAST_SIGNAL)
    image = ants.from_numpy(signal, spacing=coarse.grid.spacing_mm)
    field = ants.n4_bias_field_correction(
        image,
        mask=image.new_image_like(tissue.astype(np.float32)),
        weight_mask=image.new_image_like(weight.astype(np.float32)),
        return_bias_field=True,
        **_N4,
    ).numpy()
    log_field = _continued(np.log(np.maximum(field, _LEAST_SIGNAL)), tissue)
    log_field -= log_field[brain.data > 0.5].mean()
    return CoilField(coarse.with_data(np.exp(log_field)))


def field_size(field: np.ndarray, brain_mask: np.ndarray) -> float:
    """Return how large a field is: (high - low) / (high + low) of its 1st and 99th percentile in the brain, in [0, 1).

    It is the ratio that the presets of the degradation model are given in, without the outermost voxels. Where the
    field is not positive it means nothing; without a place where it does, its size is 0.
    """
    values = field[brain_mask & (field > 0)]
    if not values.size:
        return 0.0
    low, high = np.percentile(values, [1, 99])
    return float((high - low) / (high + low))


def averaged(volume: Volume) -> Volume:
    """Return a volume that lies on a standard grid, averaged to 4 mm."""
    factor = round(FIELD_SPACING_MM / volume.grid.spacing_mm[0])
    return Volume(block_means(volume.data, factor), standard_grid(FIELD_SPACING_MM).affine)


def _continued(log_field: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """Return a field on the grid of 4 mm that is as given in the tissue and goes on smoothly beyond it."""
    nearest = ndimage.distance_transform_edt(~tissue, return_distances=False, return_indices=True)
    extended = log_field[tuple(nearest)]
    smooth = ndimage.gaussian_filter(extended, _SMOOTHING_MM / FIELD_SPACING_MM, mode="nearest")
    return np.where(tissue, log_field, smooth).astype(np.float32)
