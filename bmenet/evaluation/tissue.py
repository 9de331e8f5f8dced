"""What a restoration does to the tissues: Dice overlap with the clean scan's segmentation, and change of volume."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from bmenet.data.layout import Layout
from bmenet.evaluation.labels import DICE, VOLUME, VOLUME_ERROR, region_metric
from bmenet.evaluation.metrics.dice import label_sizes, region_dice
from bmenet.evaluation.result import kept_or_made, restored_path
from bmenet.evaluation.segmentation import SEGMENTERS, Segmentation, Segmenter
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.volume import Volume, load_unit_volume
from bmenet.runtime.cache import CaseIndex, join_key
from bmenet.runtime.code import code_hash
from bmenet.runtime.files import read_json, sha256, write_json
from bmenet.runtime.parallel import require_all, run_parallel


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
    """Segment the clean volume and what was restored, all by one segmenter within one brain mask, and compare.

    What was compared before and has not changed is read, not segmented again.

    Parameters
    ----------
    subject : str
    cases : sequence of (str, str)
        Code and method; `evaluate_case` must have kept their volumes.
    segmenter : str
        A name of `SEGMENTERS`.
    layout : Layout

    Returns
    -------
    dict
        Code and method to metrics: the Dice overlap of each region that the clean volume has (``dice.*``), their mean
        (``dice.mean``), each region's change of volume in per cent (``volume_change.*``), and its size
        (``volume_error.*``): over subjects, gains and losses cancel in the first and add up in the second.
    """
    clean = _Clean(layout.clean(subject), SEGMENTERS[segmenter](layout.segmentations))
    index, code_key = CaseIndex(layout.index("segmented")), code_hash(__name__)
    found = {}
    for code, method in cases:
        source = restored_path(subject, code, method, layout)
        key = join_key(sha256(clean.path), sha256(source), clean.segmenter.fingerprint(), code_key)
        path = layout.segmented(subject, code, method, segmenter)
        found[code, method] = kept_or_made(index, path, key, partial(clean.compare, source), write_json, read_json)
    return found


class _Clean:
    """The clean volume of a subject, segmented when it is first needed."""

    def __init__(self, path: Path, segmenter: Segmenter) -> None:
        self.path, self.segmenter = path, segmenter

    @cached_property
    def _volume(self) -> Volume:
        return load_unit_volume(self.path)

    @cached_property
    def _brain_mask(self) -> np.ndarray:
        return foreground_mask(self._volume.data)

    @cached_property
    def _segmentation(self) -> Segmentation:
        return self.segmenter.segment(self._volume, self._brain_mask)

    def compare(self, path: Path) -> dict[str, float]:
        """Return the metrics of a restored volume, or of the clean volume itself."""
        reference = self._segmentation
        found = reference if path == self.path else self.segmenter.segment(load_unit_volume(path), self._brain_mask)
        overlaps = region_dice(found.labels, reference.labels, reference.regions)
        sizes, found_sizes = label_sizes(reference.labels), label_sizes(found.labels)
        metrics = {region_metric(DICE, region): overlap for region, overlap in overlaps.items()}
        metrics[region_metric(DICE, "mean")] = float(np.mean(list(overlaps.values())))
        for region in overlaps:
            before, after = (
                sum(of_label.get(label, 0) for label in reference.regions[region]) for of_label in (sizes, found_sizes)
            )
            change = 100 * (after - before) / before
            metrics |= {region_metric(VOLUME, region): change, region_metric(VOLUME_ERROR, region): abs(change)}
        return metrics
