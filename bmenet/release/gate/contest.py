"""The candidate against the champion, on the same validation volumes; nothing here knows of any other volumes."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from bmenet.config import PublishConfig
from bmenet.data.layout import Layout
from bmenet.evaluation.bootstrap import Interval
from bmenet.evaluation.metrics import METRICS
from bmenet.release.gate.gate import Decision, decide, keep
from bmenet.release.gate.validation import Restores, Values, means, measure_validation, of_metric, volumes_hash
from bmenet.restoration.bundle import Bundle
from bmenet.runtime.errors import ConfigError, WeightsError
from bmenet.runtime.seeding import generator

Load = Callable[[Bundle, Literal["coarse", "fine"]], Restores]
"""From a bundle and a stage to what restores, such as ``Enhancer.from_bundle``."""


@dataclass(frozen=True)
class Verdict:
    """What the gate decided about a candidate, and on what evidence. No subject is named.

    Parameters
    ----------
    is_promoted : bool
    reasons : tuple of str
    metric, stage : str
        What was compared, and whose results: ``coarse`` or ``fine``.
    codes : tuple of str
    subjects : int
    volumes : str
        One hash of all volumes' checksums: the same volumes, the same hash.
    candidate, champion : float
        Means over subjects; None where there was no champion, or none that can be compared.
    gain : Interval or None
        Positive is better.
    """

    is_promoted: bool
    reasons: tuple[str, ...]
    metric: str
    stage: str
    codes: tuple[str, ...]
    subjects: int
    volumes: str
    candidate: float
    champion: float | None
    gain: Interval | None = None

    @property
    def numbers(self) -> dict[str, float]:
        """Return what is compared from one publication to the next; what there is none of is left out."""
        numbers = {"is_promoted": int(self.is_promoted), "candidate": self.candidate, "champion": self.champion}
        numbers |= {f"gain.{name}": value for name, value in (asdict(self.gain) if self.gain else {}).items()}
        return {name: value for name, value in numbers.items() if value is not None}


@dataclass(frozen=True)
class Contest:
    """A candidate on the validation volumes.

    Parameters
    ----------
    bundle : Bundle
        The candidate.
    subjects : tuple of str
        The validation subjects.
    config : PublishConfig
    resamples, seed : int
        Of the bootstrap.
    layout : Layout
    load : callable

    Raises
    ------
    ConfigError
        If there is no subject, or the stage to be compared is not in the bundle.
    VolumeError
        If a volume is missing.
    """

    bundle: Bundle
    subjects: tuple[str, ...]
    config: PublishConfig
    resamples: int
    seed: int
    layout: Layout
    load: Load

    def __post_init__(self) -> None:
        if not self.subjects:
            raise ConfigError("split.validation: expected at least one subject; got none; raise it in params.yaml")
        if self.config.stage == "fine" and not self.bundle.has_fine:
            raise ConfigError(
                f"publish.stage: expected a stage of the bundle {self.bundle.folder}; got fine, and it ends with the"
                " Coarse-net; set publish.stage to coarse, or export both"
            )
        self.volumes  # noqa: B018  reads them: a missing one is told before any is restored

    @cached_property
    def values(self) -> Values:
        """What the candidate reaches on each subject."""
        return self._measure(self.bundle, "candidate")

    @cached_property
    def volumes(self) -> str:
        """One hash of the volumes that are compared on."""
        return volumes_hash(self.subjects, self.config.codes, self.layout)

    @property
    def figures(self) -> dict[str, float]:
        """Means over subjects of every metric of the candidate."""
        return {f"validation.{name}": value for name, value in means(self.values).items()}

    def against(self, champion: str | None, theirs: Bundle | WeightsError | None) -> Verdict:
        """Decide, and say why.

        Parameters
        ----------
        champion : str or None
            The digest of the champion's bundle; None where there is no champion.
        theirs : Bundle, WeightsError or None
            That bundle, or why it cannot be read. None where there is nothing to compare with.
        """
        config, reached = self.config, None
        own = of_metric(self.values, config.metric)
        if champion is None:
            decision = self._decide(own, None)
        elif champion == self.bundle.digest:
            decision = Decision(False, ("nothing new: the champion is this very bundle",))
        elif isinstance(theirs, Bundle) and not (obstacle := self._obstacle(theirs)):
            reached = of_metric(self._measure(theirs, "champion"), config.metric)
            decision = self._decide(own, reached)
            decision = replace(decision, reasons=(*decision.reasons, *self._caveats(theirs)))
        else:
            why = obstacle if isinstance(theirs, Bundle) else theirs or "it has no bundle"
            decision = keep(f"the champion cannot be compared: {why}")
        return Verdict(
            decision.is_promoted,
            decision.reasons,
            config.metric,
            config.stage,
            tuple(config.codes),
            len(self.subjects),
            self.volumes,
            _mean(own),
            _mean(reached) if reached else None,
            decision.gain,
        )

    def _decide(self, own: dict[str, float], theirs: dict[str, float] | None) -> Decision:
        return decide(own, theirs, METRICS[self.config.metric], self.resamples, generator(self.seed, "bootstrap"))

    def _obstacle(self, champion: Bundle) -> str | None:
        """Say what keeps the champion from being run on the candidate's volumes."""
        grid, other = self.bundle.manifest.spacing_mm, champion.manifest.spacing_mm
        if grid != other:
            return f"it works on another grid, {other} mm, and the validation volumes have {grid} mm"
        if self.config.stage == "fine" and not champion.has_fine:
            return "it ends with the Coarse-net, and publish.stage compares second stages"
        return None

    def _caveats(self, champion: Bundle) -> tuple[str, ...]:
        """Say what makes the comparison unequal, though it can be made."""
        key = f"dvc.md5.{self.layout.split.as_posix()}"
        own, other = (bundle.manifest.lineage.get(key) for bundle in (self.bundle, champion))
        if own == other:
            return ()
        return ("the champion was trained under another split: it may have seen these volumes, to its advantage",)

    def _measure(self, bundle: Bundle, role: str) -> Values:
        enhancer = self.load(bundle, self.config.stage)
        return measure_validation(enhancer, self.subjects, self.config.codes, self.layout, f"validate the {role}")


def _mean(values: dict[str, float]) -> float:
    return float(np.mean(list(values.values())))
