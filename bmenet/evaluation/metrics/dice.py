"""How far two segmentations overlap: Dice's coefficient ``2 |a and b| / (|a| + |b|)`` per label and per region.

Conventions: label 0, the background, never counts. What the reference has and the other lacks scores 0; what the
reference lacks has no score, not 1, and is left out of every mean.

References
----------
Dice (1945), Measures of the amount of ecologic association between species, Ecology 26(3):297-302, doi:10.2307/1932409.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from bmenet.runtime.errors import GridMismatchError


def label_dice(labels: np.ndarray, reference: np.ndarray) -> dict[int, float]:
    """Return the Dice overlap of every label above 0 that `reference` has, in rising order.

    Parameters
    ----------
    labels, reference : ndarray of integers >= 0, shape (X, Y, Z)
        On one grid.

    Raises
    ------
    GridMismatchError
        If the shapes differ.
    """
    _check_shapes(labels, reference)
    sizes, reference_sizes = label_sizes(labels), label_sizes(reference)
    shared = label_sizes(reference[labels == reference])
    return {label: 2 * shared.get(label, 0) / (sizes.get(label, 0) + size) for label, size in reference_sizes.items()}


def region_dice(labels: np.ndarray, reference: np.ndarray, regions: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """Return the Dice overlap of every region that `reference` has; a region is the union of its labels.

    A voxel counts where both have any label of the region, not the same one: regions forgive what is taken for its
    neighbour within them.

    Raises
    ------
    GridMismatchError
        If the shapes differ.
    """
    _check_shapes(labels, reference)
    overlaps: dict[str, float] = {}
    for region, members in regions.items():
        found, inside = (np.isin(array, list(members)) for array in (labels, reference))
        if size := np.count_nonzero(inside):
            overlaps[region] = 2 * np.count_nonzero(found & inside) / (np.count_nonzero(found) + size)
    return overlaps


def label_sizes(labels: np.ndarray) -> dict[int, int]:
    """Return the number of voxels of every label above 0 that is there, in rising order."""
    found, counts = np.unique(labels[labels > 0], return_counts=True)
    return {int(label): int(count) for label, count in zip(found, counts, strict=True)}


def _check_shapes(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise GridMismatchError(f"expected two segmentations on one grid; got shapes {a.shape} and {b.shape}")
