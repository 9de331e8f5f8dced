"""The restorations that are compared, by name, and what decides their results."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bmenet.config import SamplingConfig
from bmenet.evaluation.baselines import BASELINES
from bmenet.evaluation.result import INPUT
from bmenet.imaging.volume import Volume
from bmenet.networks.fine_weights import fine_digests
from bmenet.networks.weights import weights_digest
from bmenet.restoration.coarse_net import CoarseNet
from bmenet.restoration.fine_net import FineNet
from bmenet.runtime.cache import join_key
from bmenet.runtime.code import code_hash

COARSE = "coarse"
FINE = "fine"

Variant = Callable[[FineNet, SamplingConfig], tuple[FineNet, SamplingConfig]]


def _without_constraint(net: FineNet, sampling: SamplingConfig) -> tuple[FineNet, SamplingConfig]:
    guidance = sampling.guidance.model_copy(update={"scale": 0.0})
    return net, sampling.model_copy(update={"guidance": guidance})


FINE_VARIANTS: dict[str, Variant] = {
    FINE: lambda net, sampling: (net, sampling),
    "fine_decode": lambda net, sampling: (net, sampling.model_copy(update={"compose": "decode"})),
    "fine_no_edges": lambda net, sampling: (net.without_edge_hint(), sampling),
    "fine_no_constraint": _without_constraint,
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

    Parameters
    ----------
    degraded : Volume
    weights : Path
        The folder that holds ``coarse`` and, for the second stage, its networks.
    sampling : SamplingConfig
    seed : int
        Of the second stage's noise.
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


def method_fingerprint(method: str, weights: Path, sampling: SamplingConfig, seed: int) -> str:
    """Hash what, besides the volumes, decides the metrics of a method: its code, the metrics' code, its weights."""
    modules = ["bmenet.evaluation.metrics.measure", "bmenet.imaging.volume"]
    parts: list[object] = [method]
    if method in BASELINES:
        modules.append("bmenet.evaluation.baselines")
    elif method != INPUT:
        modules.append("bmenet.restoration.coarse_net")
        parts.append(weights_digest(weights / COARSE))
    if method in FINE_VARIANTS:
        modules.append(__name__)  # the variants are defined here
        parts += [fine_digests(weights), sampling.model_dump(mode="json"), seed]
    return join_key(parts, code_hash(*modules))


def _timed(restore: Callable[[], Volume]) -> tuple[Volume, float]:
    """Return a result and the CPU-seconds that it took."""
    start = time.process_time()
    return restore(), time.process_time() - start
