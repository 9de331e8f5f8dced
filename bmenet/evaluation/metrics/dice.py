"""How far two segmentations overlap: Dice's coefficient per label and per region.

Conventions: label 0, the background, never counts. What the reference has and the other lacks scores 0; what the
reference lacks has no score, not 1, and is left out of every mean.

References
----------
Dice (1945), Measures of the amount of ecologic association between species, Ecology 26(3):297-302, doi:10.2307/1932409.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from bmenet.runtime.errors import GridMismatchError, VolumeError


def dice_overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return ``2 |a and b| / (|a| + |b|)`` of two boolean arrays of one shape, in [0, 1].

    Raises
    ------
    GridMismatchError
        If the shapes differ.
    VolumeError
        If both are empty: nothing was compared.
    """
    _check_shapes(a, b)
    total = np.count_nonzero(a) + np.count_nonzero(b)
    if total == 0:
        raise VolumeError("expected at least one voxel in one of two regions; got two empty ones: Dice is undefined")
    return 2 * np.count_nonzero(np.logical_and(a, b)) / total


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


def mean_label_dice(labels: np.ndarray, reference: np.ndarray) -> float:
    """Return the mean Dice overlap of the labels above 0 that `reference` has, each counting the same.

    Raises
    ------
    GridMismatchError
        If the shapes differ.
    VolumeError
        If `reference` has no label above 0.
    """
    overlaps = label_dice(labels, reference)
    if not overlaps:
        raise VolumeError("`reference`: expected at least one label above 0; got background alone: Dice is undefined")
    return float(np.mean(list(overlaps.values())))


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
    overlaps = {}
    for region, members in regions.items():
        inside = np.isin(reference, list(members))
        if inside.any():
            overlaps[region] = dice_overlap(np.isin(labels, list(members)), inside)
    return overlaps


def label_sizes(labels: np.ndarray) -> dict[int, int]:
    """Return the number of voxels of every label above 0 that is there, in rising order."""
    found, counts = np.unique(labels[labels > 0], return_counts=True)
    return {int(label): int(count) for label, count in zip(found, counts, strict=True)}


def _check_shapes(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise GridMismatchError(f"expected two segmentations on one grid; got shapes {a.shape} and {b.shape}")
