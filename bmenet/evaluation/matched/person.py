"""Evaluate every method on the matched pairs of one person: real motion, a real still scan to compare with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path

from bmenet.config import SamplingConfig
from bmenet.data.layout import Layout
from bmenet.data.mr_art import STILL, MatchedPair, MrArt
from bmenet.evaluation.files import SCALE_PERCENTILE
from bmenet.evaluation.matched.volumes import (
    Preparation,
    StillVolume,
    load_moved,
    matched_gain,
    prepare_moved,
    prepare_still,
    save_moved,
)
from bmenet.evaluation.methods import COARSE, FINE_VARIANTS, Restorations, method_fingerprint
from bmenet.evaluation.metrics.measure import measure
from bmenet.evaluation.result import Result, kept_or_made, load_result, save_result
from bmenet.imaging.figures import shown_slices
from bmenet.imaging.volume import Volume
from bmenet.restoration import Enhancer
from bmenet.runtime.cache import CaseIndex, join_key
from bmenet.runtime.code import code_hash
from bmenet.runtime.errors import BMENetError, WeightsError


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
        try:
            results += person.evaluate(pair.acquisition, person.moved_key(pair), partial(person.moved, pair))
        except BMENetError as error:
            failures[pair.acquisition] = str(error)
    scores = {pair.acquisition: pair.score for pair in found.pairs if pair.score is not None}
    return PersonOutcome(results, found.missing, scores, failures)


class _Person:
    """The scans of one person, read and prepared only if some result of them is not kept yet."""

    def __init__(self, pair: MatchedPair, evaluation: MatchedEvaluation) -> None:
        self.subject, self.location, self.evaluation = pair.subject, pair.still, evaluation
        preparation = evaluation.preparation
        self.volumes, self.results = (CaseIndex(evaluation.layout.index(name)) for name in ("matched", "evaluated"))
        self.still_key = join_key(
            evaluation.source.fingerprint(pair.still),
            [preparation.spacing_mm, preparation.percentile, preparation.registration.model_dump(mode="json")],
            code_hash("bmenet.evaluation.matched.volumes"),
        )

    def moved_key(self, pair: MatchedPair) -> str:
        """Return what a moved scan's volume depends on, as one hash."""
        return join_key(self.still_key, self.evaluation.source.fingerprint(pair.moved))

    @cached_property
    def still(self) -> StillVolume:
        """The clean volume."""
        done = self.evaluation
        path = done.layout.matched(self.subject, STILL)

        def prepare() -> StillVolume:
            return prepare_still(done.source.read(self.location, _say_nothing), done.preparation)

        return kept_or_made(
            self.volumes, path, self.still_key, prepare, lambda path, still: still.save(path), StillVolume.load
        )

    def moved(self, pair: MatchedPair) -> Volume:
        """Return the volume with motion."""
        done = self.evaluation
        path = done.layout.matched(self.subject, pair.acquisition)

        def prepare() -> Volume:
            return prepare_moved(done.source.read(pair.moved, _say_nothing), self.still, done.preparation)

        return kept_or_made(self.volumes, path, self.moved_key(pair), prepare, save_moved, load_moved)

    def evaluate(self, code: str, volume_key: str, degraded: Callable[[], Volume]) -> list[Result]:
        """Return the result of every method under a code, kept or new."""
        done = self.evaluation
        restorations = cache(lambda: Restorations(degraded(), done.weights, done.sampling, done.seed))
        results = []
        for method in done.methods:
            path = done.layout.evaluated(self.subject, code, method)
            key = join_key(volume_key, method_fingerprint(method, done.weights, done.sampling, done.seed))

            def make(method: str = method) -> Result:
                return self._measure(code, method, *restorations()(method))

            results.append(kept_or_made(self.results, path, key, make, save_result, load_result))
        return results

    def _measure(self, code: str, method: str, restored: Volume, seconds: float) -> Result:
        still, brain_mask = self.still.volume, self.still.brain_mask
        matched = restored.with_data(restored.data * matched_gain(restored.data, still.data, brain_mask))
        metrics = measure(matched, still, brain_mask)
        return Result(self.subject, code, method, metrics, seconds, shown_slices(matched.data))


def _say_nothing(note: str) -> None:
    """Take a note on a download: several run at once, and the bar counts people."""
