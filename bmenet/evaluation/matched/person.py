"""Evaluate every method on the matched pairs of one person: real motion, a real still scan to compare with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from bmenet.config import SamplingConfig
from bmenet.data.layout import Layout
from bmenet.data.mr_art import STILL, MatchedPair, MrArt
from bmenet.evaluation.case import join_keys
from bmenet.evaluation.matched.cache import moved_at, still_at
from bmenet.evaluation.matched.volumes import Preparation, StillVolume, prepare_moved, prepare_still
from bmenet.evaluation.methods import COARSE, FINE_VARIANTS, Restorations, method_fingerprint
from bmenet.evaluation.metrics.measure import measure
from bmenet.evaluation.result import Result, load_result, save_result
from bmenet.evaluation.scans import SCALE_PERCENTILE
from bmenet.imaging.figures import shown_slices
from bmenet.imaging.volume import Volume
from bmenet.restoration import Enhancer
from bmenet.runtime.code import code_hash
from bmenet.runtime.errors import BMENetError, VolumeError, WeightsError


@dataclass(frozen=True)
class MatchedEvaluation:
    """What is done with every person.

    Parameters
    ----------
    source : MrArt
    methods : tuple of str
        Names of `method_names`.
    preparation : Preparation
    weights : Path
        The folder that holds ``coarse`` and, for the second stage, its networks.
    layout : Layout
        Where finished results and prepared scans are kept.
    sampling : SamplingConfig
    seed : int
        Of the second stage's noise.
    """

    source: MrArt
    methods: tuple[str, ...]
    preparation: Preparation
    weights: Path
    layout: Layout
    sampling: SamplingConfig
    seed: int = 0

    @classmethod
    def of_weights(
        cls, source: MrArt, methods: Sequence[str], coarse: Path, layout: Layout, sampling: SamplingConfig, seed: int
    ) -> "MatchedEvaluation":
        """Evaluate on the grid of trained networks, with the registration that `bmenet enhance` makes.

        Raises
        ------
        WeightsError
            If the folder `coarse` has another name, or the weights that the methods need are not there.
        """
        if coarse.name != COARSE:
            raise WeightsError(f"{coarse}: expected weights in a folder called {COARSE!r}; rename it")
        enhancer = Enhancer.from_folder(coarse)
        if set(methods) & set(FINE_VARIANTS):
            enhancer = enhancer.with_fine(coarse.parent, sampling)
        preparation = Preparation(enhancer.spacing_mm, SCALE_PERCENTILE, enhancer.registration)
        return cls(source, tuple(methods), preparation, coarse.parent, layout, sampling, seed)


@dataclass(frozen=True)
class PersonOutcome:
    """What became of one person.

    Parameters
    ----------
    results : list of Result
        Of the code ``standard`` and of every moved acquisition that could be evaluated.
    missing : tuple of str
        The acquisitions that the data set does not have.
    scores : dict
        Acquisition to the neuroradiologists' score, where there is one.
    failures : dict
        Acquisition to why it could not be evaluated.
    """

    results: list[Result]
    missing: tuple[str, ...] = ()
    scores: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def evaluate_person(subject: str, evaluation: MatchedEvaluation) -> PersonOutcome:
    """Restore a person's moved scans, and the still one, by every method, and measure against the still scan.

    Under the code ``standard`` the still scan itself is the input: a restoration should leave it alone. What is
    finished is kept with a key made from the scans, the settings, the code and the weights behind it. A pair that fails
    does not stop the person's other pair.

    Raises
    ------
    BMENetError
        If the still scan cannot be read or registered: nothing can be measured then.
    """
    found = evaluation.source.find_pairs(subject)
    if not found.pairs:
        return PersonOutcome([], found.missing)
    person = _Person(found.pairs[0], evaluation)
    results = person.evaluate(STILL, person.still_key, lambda: person.still.volume)
    failures = {}
    for pair in found.pairs:
        key = person.moved_key(pair)
        try:
            results += person.evaluate(pair.acquisition, key, partial(person.moved, pair, key))
        except BMENetError as error:
            failures[pair.acquisition] = str(error)
    scores = {pair.acquisition: pair.score for pair in found.pairs if pair.score is not None}
    return PersonOutcome(results, found.missing, scores, failures)


def matched_gain(restored: np.ndarray, still: np.ndarray, brain_mask: np.ndarray) -> float:
    """Return the gain g that minimises ``|g r - s|^2`` inside the brain, ``<r, s> / <r, r>``: restored r, still s.

    Two acquisitions have different receiver gains, so a restoration cannot know how bright the still scan is. The same
    rule for every method, the input included, takes the difference out. It hides any error in overall brightness, and
    gives each method the best PSNR that a single factor can. It does not hide a difference that varies in space: the
    coil's sensitivity at another place of the head counts as error of every method alike.

    Parameters
    ----------
    restored, still : ndarray, shape (X, Y, Z)
    brain_mask : ndarray of bool, shape (X, Y, Z)

    Raises
    ------
    VolumeError
        If `restored` has no signal inside the brain, or the opposite one.
    """
    inside = restored[brain_mask].astype(np.float64)
    agreement = float(inside @ still[brain_mask])
    if not agreement > 0:
        raise VolumeError("expected a restored volume with signal inside the brain; got one without")
    return agreement / float(inside @ inside)


class _Person:
    """The scans of one person, read and prepared only if some result of them is not kept yet."""

    def __init__(self, pair: MatchedPair, evaluation: MatchedEvaluation) -> None:
        self.subject, self.location, self.evaluation = pair.subject, pair.still, evaluation
        preparation = evaluation.preparation
        settings = f"{preparation.spacing_mm} {preparation.percentile} {preparation.registration.model_dump_json()}"
        self.still_key = join_keys(
            evaluation.source.fingerprint(pair.still), settings, code_hash("bmenet.evaluation.matched.volumes")
        )

    def moved_key(self, pair: MatchedPair) -> str:
        """Return what a moved scan's volume depends on, as one hash."""
        return join_keys(self.still_key, self.evaluation.source.fingerprint(pair.moved))

    @cached_property
    def still(self) -> StillVolume:
        """The clean volume."""

        def prepare() -> StillVolume:
            scan = self.evaluation.source.read(self.location, _say_nothing)
            return prepare_still(scan, self.evaluation.preparation)

        path = self.evaluation.layout.matched(self.subject, STILL)
        return still_at(path, self.still_key, prepare)

    def moved(self, pair: MatchedPair, key: str) -> Volume:
        """Return the volume with motion."""
        source, preparation = self.evaluation.source, self.evaluation.preparation
        path = self.evaluation.layout.matched(self.subject, pair.acquisition)
        return moved_at(
            path, key, lambda: prepare_moved(source.read(pair.moved, _say_nothing), self.still, preparation)
        ).volume

    def evaluate(self, code: str, volume_key: str, degraded: Callable[[], Volume]) -> list[Result]:
        """Return the result of every method under a code, kept or new."""
        done = self.evaluation
        restorations: Restorations | None = None
        results = []
        for method in done.methods:
            path = done.layout.evaluated(self.subject, code, method)
            by_what = method_fingerprint(method, done.weights, done.sampling, done.seed)
            key = join_keys(volume_key, by_what, code_hash(__name__))
            result = load_result(path, key)
            if result is None:
                restorations = restorations or Restorations(degraded(), done.weights, done.sampling, done.seed)
                result = self._measure(code, method, *restorations(method))
                save_result(path, result, key)
            results.append(result)
        return results

    def _measure(self, code: str, method: str, restored: Volume, seconds: float) -> Result:
        still, brain_mask = self.still.volume, self.still.brain_mask
        gain = matched_gain(restored.data, still.data, brain_mask)
        matched = restored.with_data(restored.data * gain)
        metrics = measure(matched, still, brain_mask)
        return Result(self.subject, code, method, metrics, seconds, shown_slices(matched.data))


def _say_nothing(note: str) -> None:
    """Take a note on a download: several run at once, and the bar counts people."""
