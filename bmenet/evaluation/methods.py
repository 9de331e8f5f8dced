"""The restorations that are compared, by name, and a case restored and measured by each of them, nothing twice."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bmenet.config import SamplingConfig
from bmenet.data.layout import Layout
from bmenet.evaluation.baselines import BASELINES
from bmenet.evaluation.metrics.measure import find_head, matched_gain, measure
from bmenet.evaluation.result import INPUT, Result, load_result, save_result, within_units
from bmenet.imaging.figures import shown_slices
from bmenet.imaging.volume import Volume, load_mask, load_unit_volume, save_unit_volume
from bmenet.networks.coarse import first_stage_digest
from bmenet.networks.fine_weights import fine_digests
from bmenet.restoration.coarse_net import CoarseNet
from bmenet.restoration.fine_net import DEFAULT_SAMPLING, FineNet
from bmenet.runtime.cache import CaseIndex, join_key
from bmenet.runtime.code import code_hash
from bmenet.runtime.files import sha256

COARSE = "coarse"
FINE = "fine"

FINE_VARIANTS: dict[str, Callable[[FineNet, SamplingConfig], tuple[FineNet, SamplingConfig]]] = {
    FINE: lambda net, sampling: (net, sampling),
    "fine_decode": lambda net, sampling: (net, sampling.model_copy(update={"compose": "decode"})),
    "fine_no_edges": lambda net, sampling: (net.without_edge_hint(), sampling),
    "fine_no_constraint": lambda net, sampling: (
        net,
        sampling.model_copy(update={"guidance": sampling.guidance.model_copy(update={"scale": 0.0})}),
    ),
}
"""Name to what is changed about the second stage: the ablation."""

ABLATIONS = frozenset(FINE_VARIANTS) - {FINE}
"""Rows that explain the second stage; pictures and segmentations leave them out."""


def method_names(baselines: Sequence[str], fine: Sequence[str] = ()) -> list[str]:
    """Return the compared methods in the order of the tables: input, baselines, Coarse-net, second stage."""
    return [INPUT, *baselines, COARSE, *fine]


@dataclass
class Restorations:
    """All restorations of one degraded volume; the Coarse-net runs once for all that start from its result.

    The folder `weights` holds ``coarse``, perhaps ``field`` and, for the second stage, its networks, whose noise is
    drawn from `seed`.
    """

    degraded: Volume
    weights: Path
    sampling: SamplingConfig
    seed: int

    def __call__(self, method: str) -> tuple[Volume, float]:
        """Return the restored volume and its CPU-seconds; `method` is a name of `method_names`."""
        if method == INPUT:
            return self.degraded, 0.0
        if method in BASELINES:
            return _timed(lambda: BASELINES[method](self.degraded))
        coarse, seconds = self._coarse
        if method == COARSE:
            return coarse, seconds
        net, changed = FINE_VARIANTS[method](FineNet.load_once(self.weights), self.sampling)
        fine, more_seconds = _timed(lambda: coarse.with_data(net.restore(coarse.data, changed, self.seed).data))
        return fine, seconds + more_seconds

    @cached_property
    def _coarse(self) -> tuple[Volume, float]:
        """The Coarse-net's result and its CPU-seconds."""
        net = CoarseNet.load_once(self.weights / COARSE)
        return _timed(lambda: self.degraded.with_data(net.restore(self.degraded.data)))


def _timed(restore: Callable[[], Volume]) -> tuple[Volume, float]:
    """Return a result and the CPU-seconds that it took."""
    start = time.process_time()
    return restore(), time.process_time() - start


def evaluate_case(
    subject: str,
    code: str,
    methods: list[str],
    layout: Layout,
    weights: Path,
    sampling: SamplingConfig = DEFAULT_SAMPLING,
    seed: int = 0,
    is_kept: bool = False,
    fits_gain: bool = False,
) -> list[Result]:
    """Restore a degraded volume by every method and measure each result against the clean volume and its brain mask.

    A finished result is kept with a key made from the volumes, the code and the weights behind it, so an evaluation
    that was killed goes on, and new weights do not run the baselines again.

    Parameters
    ----------
    methods : list of str
        Names of `method_names`; `weights`, `sampling` and `seed` are as `Restorations` takes them.
    is_kept : bool
        Whether the restored volumes stay too, for those who segment them or look at them.
    fits_gain : bool
        Whether each result is multiplied by its `matched_gain` first: the clean volume is another acquisition.
    """
    clean_path, degraded_path = layout.clean(subject), layout.case_input(subject, code)
    mask_path = layout.brain_mask(subject)
    checksums = [sha256(path) for path in (clean_path, degraded_path, mask_path)]
    index = CaseIndex(layout.index("evaluated"))
    restorations: Restorations | None = None
    results: list[Result] = []
    for method in methods:
        path, volume_path = layout.evaluated(subject, code, method), layout.restored(subject, code, method)
        key = join_key(checksums, method_fingerprint(method, weights, sampling, seed), fits_gain)
        must_keep = is_kept and method != INPUT
        if index.holds(path.stem, key, path) and (not must_keep or index.holds(volume_path.name, key, volume_path)):
            results.append(load_result(path))
            continue
        if restorations is None:
            clean = load_unit_volume(clean_path)
            brain_mask = load_mask(mask_path)
            head = find_head(clean, brain_mask)
            restorations = Restorations(load_unit_volume(degraded_path), weights, sampling, seed)
        restored, seconds = restorations(method)
        if fits_gain:
            restored = restored.with_data(restored.data * matched_gain(restored.data, clean.data, brain_mask))
        metrics = measure(restored, clean, brain_mask, head)
        results.append(Result(subject, code, method, metrics, seconds, shown_slices(restored.data)))
        # The old volume goes first: beside a new result it would pass for the new one after a kill.
        volume_path.unlink(missing_ok=True)
        save_result(path, results[-1])
        if must_keep:
            save_unit_volume(volume_path, within_units(restored))
            index.record(volume_path.name, key, volume_path)
        index.record(path.stem, key, path)
    return results


def method_fingerprint(method: str, weights: Path, sampling: SamplingConfig, seed: int) -> str:
    """Hash what, besides the volumes, decides the metrics of a method: its code, the metrics' code, its weights."""
    modules = ["bmenet.evaluation.metrics.measure", "bmenet.imaging.volume"]
    parts: list[object] = [method]
    if method in BASELINES:
        modules.append("bmenet.evaluation.baselines")
    elif method != INPUT:
        modules.append("bmenet.restoration.coarse_net")
        parts.append(first_stage_digest(weights / COARSE))
    if method in FINE_VARIANTS:
        modules.append(__name__)  # the variants are defined here
        parts += [fine_digests(weights), sampling.model_dump(mode="json"), seed]
    return join_key(parts, code_hash(*modules))
