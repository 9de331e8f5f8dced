"""Evaluate every method on the matched pairs of one person: real motion, a real still scan to compare with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from bmenet.config import RegistrationConfig, SamplingConfig
from bmenet.data.layout import Layout
from bmenet.data.mr_art import STILL, MatchedPair, MrArt
from bmenet.evaluation.matched.volumes import prepare_moved, prepare_still
from bmenet.evaluation.methods import COARSE, FINE_VARIANTS, evaluate_case
from bmenet.evaluation.result import Result
from bmenet.imaging.volume import load_mask, load_unit_volume, save_mask, save_unit_volume
from bmenet.restoration import Enhancer
from bmenet.runtime.cache import CaseIndex, join_key
from bmenet.runtime.code import code_hash
from bmenet.runtime.errors import BMENetError, WeightsError
from bmenet.runtime.files import read_json, write_json


@dataclass(frozen=True)
class MatchedEvaluation:
    """What is done with every person.

    Parameters
    ----------
    methods, weights, sampling, seed
        As `evaluate_case` takes them.
    spacing_mm : int
        Of the grid on which everything is compared: that of the weights.
    registration : RegistrationConfig
        Of the still scan with the template, and of the moved scan with the still one.
    layout : Layout
        Where finished results and prepared scans are kept.
    """

    source: MrArt
    methods: tuple[str, ...]
    spacing_mm: int
    registration: RegistrationConfig
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
        settings = enhancer.spacing_mm, enhancer.registration
        return cls(source, tuple(methods), *settings, coarse.parent, layout, sampling, seed)


@dataclass(frozen=True)
class PersonOutcome:
    """What became of one person.

    Parameters
    ----------
    results : list of Result
        Of the code ``standard`` and of every moved acquisition that could be evaluated.
    missing : tuple of str
        The acquisitions that the data set does not have.
    scores, failures : dict
        Acquisition to the neuroradiologists' score, where there is one, and to why it could not be evaluated.
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
    layout = _MatchedLayout(evaluation.layout.root)
    evaluate = partial(
        evaluate_case,
        subject,
        methods=list(evaluation.methods),
        layout=layout,
        weights=evaluation.weights,
        sampling=evaluation.sampling,
        seed=evaluation.seed,
        fits_gain=True,
    )
    still_key = _write_still(found.pairs[0], evaluation, layout)
    results, failures = evaluate(code=STILL), {}
    for pair in found.pairs:
        try:
            _write_moved(pair, evaluation, layout, still_key)
            results += evaluate(code=pair.acquisition)
        except BMENetError as error:
            failures[pair.acquisition] = str(error)
    scores = {pair.acquisition: pair.score for pair in found.pairs if pair.score is not None}
    return PersonOutcome(results, found.missing, scores, failures)


class _MatchedLayout(Layout):
    """A workspace in which acquisitions are the codes, and a person's still scan is the clean volume."""

    def clean(self, subject: str) -> Path:
        """Return the still scan as a volume; its transform lies beside it."""
        return self.matched(subject, STILL)

    def brain_mask(self, subject: str) -> Path:
        """Return the mask of the brain in the still scan."""
        return self.matched(subject, STILL).with_name(f"{self.matched(subject, STILL).stem}_desc-brain_mask.nii.gz")

    def case_input(self, subject: str, code: str) -> Path:
        """Return the scan of an acquisition as a volume."""
        return self.matched(subject, code)


def _write_still(pair: MatchedPair, evaluation: MatchedEvaluation, layout: Layout) -> str:
    """Write the still scan as a clean volume, unless it is there; return the key of what it was made from."""
    index, path, registration = CaseIndex(layout.index("matched")), layout.clean(pair.subject), evaluation.registration
    key = join_key(
        evaluation.source.fingerprint(pair.still),
        evaluation.spacing_mm,
        registration.model_dump(mode="json"),
        code_hash("bmenet.evaluation.matched.volumes"),
    )
    files = path, layout.brain_mask(pair.subject), path.with_suffix(".json")
    if not index.holds(path.stem, key, *files):
        scan = evaluation.source.read(pair.still, _say_nothing)
        still, brain_mask, moving2fixed = prepare_still(scan, evaluation.spacing_mm, registration)
        save_unit_volume(path, still)
        save_mask(files[1], still.with_data(brain_mask))
        write_json(files[2], {"moving2fixed": moving2fixed.tolist()})
        index.record(path.stem, key, *files)
    return key


def _write_moved(pair: MatchedPair, evaluation: MatchedEvaluation, layout: Layout, still_key: str) -> None:
    """Write the moved scan as the volume to be restored, unless it is there."""
    index, path = CaseIndex(layout.index("matched")), layout.case_input(pair.subject, pair.acquisition)
    key = join_key(still_key, evaluation.source.fingerprint(pair.moved))
    if not index.holds(path.stem, key, path):
        clean_path = layout.clean(pair.subject)
        still, brain_mask = load_unit_volume(clean_path), load_mask(layout.brain_mask(pair.subject))
        start = np.array(read_json(clean_path.with_suffix(".json"))["moving2fixed"])
        scan = evaluation.source.read(pair.moved, _say_nothing)
        save_unit_volume(path, prepare_moved(scan, still, brain_mask, start, evaluation.registration))
        index.record(path.stem, key, path)


def _say_nothing(note: str) -> None:
    """Take a note on a download: several run at once, and the bar counts people."""
