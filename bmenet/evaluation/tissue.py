"""What a restoration does to the tissues: Dice overlap with the clean scan's segmentation, and change of volume.

Dice's coefficient is ``2 |a and b| / (|a| + |b|)``, per label and per region. Label 0, the background, never counts.
What the reference has and the other lacks scores 0; what the reference lacks has no score, not 1, and is left out of
every mean.

References
----------
Dice (1945), Measures of the amount of ecologic association between species, Ecology 26(3):297-302, doi:10.2307/1932409.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np

from bmenet.data.layout import Layout
from bmenet.evaluation.result import kept_or_made, restored_path
from bmenet.evaluation.segmentation import SEGMENTERS, Segmentation
from bmenet.imaging.volume import Volume, load_mask, load_unit_volume
from bmenet.runtime.cache import CaseIndex, join_key
from bmenet.runtime.code import code_hash
from bmenet.runtime.errors import GridMismatchError
from bmenet.runtime.files import read_json, sha256, write_json
from bmenet.runtime.parallel import require_all, run_parallel

DICE, VOLUME, VOLUME_ERROR = "dice.", "volume_change.", "volume_error."
"""What metrics of a region's overlap, change of volume (%) and size of that change, whatever its sign, begin with."""


def region_metric(kind: str, region: str) -> str:
    """Return the name of a metric of `DICE`, `VOLUME` or `VOLUME_ERROR`, such as ``dice.grey_matter``."""
    return kind + region.replace(" ", "_")


def brain_alone(volume: Volume, brain_mask: np.ndarray) -> Volume:
    """Return what is segmented of a head: the brain, all else zero."""
    return volume.with_data(np.where(brain_mask, volume.data, 0))


def label_dice(labels: np.ndarray, reference: np.ndarray) -> dict[int, float]:
    """Return the Dice overlap of every label above 0 that `reference` has, in rising order.

    Parameters
    ----------
    labels, reference : ndarray of integers >= 0, shape (X, Y, Z)

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
    """Return the Dice overlap of every region that `reference` has, as `label_dice`; a region is a union of labels.

    A voxel counts where both have any label of the region, not the same one: regions forgive what is taken for its
    neighbour within them.
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
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def compare_all_tissues(
    cases: Mapping[str, Sequence[tuple[str, str]]], segmenter: str, layout: Layout, work: str
) -> dict[tuple[str, str, str], dict[str, float]]:
    """Return subject, code and method to the metrics of `compare_tissues`, of several subjects in several processes.

    `cases` is subject to its cases; `work` names what is said to have failed where a subject fails (BMENetError).
    """
    items = [(subject, (subject, of_subject, segmenter, layout)) for subject, of_subject in cases.items()]
    found, failures = run_parallel(compare_tissues, items, description="segment")
    require_all(work, failures, len(items))
    return {(subject, *case): metrics for subject, of_subject in found.items() for case, metrics in of_subject.items()}


def compare_tissues(
    subject: str, cases: Sequence[tuple[str, str]], segmenter: str, layout: Layout
) -> dict[tuple[str, str], dict[str, float]]:
    """Segment the brain of the clean volume and of what was restored, by one segmenter and one mask, and compare.

    What was compared before and has not changed is read, not segmented again.

    Parameters
    ----------
    cases : sequence of (str, str)
        Code and method; `evaluate_case` must have kept their volumes.
    segmenter : str
        A name of `SEGMENTERS`.

    Returns
    -------
    dict
        Code and method to metrics: the Dice overlap of each region that the clean volume has (``dice.*``), their mean
        (``dice.mean``), each region's change of volume in per cent (``volume_change.*``), and its size
        (``volume_error.*``): over subjects, gains and losses cancel in the first and add up in the second.
    """
    clean_path, mask_path = layout.clean(subject), layout.brain_mask(subject)
    tool = SEGMENTERS[segmenter](layout.segmentations)

    @cache
    def segment_clean() -> tuple[Segmentation, np.ndarray]:
        """Return the clean volume's segmentation and brain mask, when they are first needed."""
        brain_mask = load_mask(mask_path)
        return tool.segment(brain_alone(load_unit_volume(clean_path), brain_mask), brain_mask), brain_mask

    def compare(source: Path) -> dict[str, float]:
        reference, brain_mask = segment_clean()
        if source == clean_path:
            return _tissue_metrics(reference, reference)
        found = tool.segment(brain_alone(load_unit_volume(source), brain_mask), brain_mask)
        return _tissue_metrics(found, reference)

    index, code_key = CaseIndex(layout.index("segmented")), code_hash(__name__)
    metrics = {}
    for code, method in cases:
        source = restored_path(subject, code, method, layout)
        key = join_key(*(sha256(path) for path in (clean_path, mask_path, source)), tool.fingerprint(), code_key)
        path = layout.segmented(subject, code, method, segmenter)
        metrics[code, method] = kept_or_made(index, path, key, partial(compare, source), write_json, read_json)
    return metrics


def _tissue_metrics(found: Segmentation, reference: Segmentation) -> dict[str, float]:
    """Return overlap and change of volume of every region that the reference has."""
    overlaps = region_dice(found.labels, reference.labels, reference.regions)
    metrics = {region_metric(DICE, region): overlap for region, overlap in overlaps.items()}
    metrics[region_metric(DICE, "mean")] = float(np.mean(list(overlaps.values())))
    sizes = [label_sizes(labels) for labels in (reference.labels, found.labels)]
    for region in overlaps:
        before, after = (sum(of_label.get(label, 0) for label in reference.regions[region]) for of_label in sizes)
        change = 100 * (after - before) / before
        metrics |= {region_metric(VOLUME, region): change, region_metric(VOLUME_ERROR, region): abs(change)}
    return metrics


def _check_shapes(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise GridMismatchError(f"expected two segmentations on one grid; got shapes {a.shape} and {b.shape}")
