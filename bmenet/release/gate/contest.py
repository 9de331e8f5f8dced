"""The candidate against the champion, on the same validation volumes; nothing here knows of any other volumes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from bmenet.config import PublishConfig
from bmenet.data.layout import Layout
from bmenet.evaluation.metrics import METRICS
from bmenet.release.gate.gate import Decision, decide, keep
from bmenet.release.gate.record import Comparison, Model, Outcome, Record, mean, now
from bmenet.release.gate.validation import Restores, Values, means, measure_validation, of_metric, volumes_hash
from bmenet.restoration.bundle import Bundle
from bmenet.runtime.errors import ConfigError, WeightsError
from bmenet.runtime.seeding import generator

Load = Callable[[Bundle, Literal["coarse", "fine"]], Restores]
"""From a bundle and a stage to what restores, such as ``Enhancer.from_bundle``."""


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

    def against(self, candidate: Model, champion: Model | None, theirs: Bundle | WeightsError | None) -> Record:
        """Decide, and say why.

        Parameters
        ----------
        candidate, champion : Model
            As the registry knows them; no champion is None.
        theirs : Bundle, WeightsError or None
            The champion's bundle, or why it cannot be read. None where there is nothing to compare with.
        """
        reached: Values | None = None
        own = of_metric(self.values, self.config.metric)
        if champion is None:
            decision = self._decide(own, None)
        elif champion == candidate or champion.digest == self.bundle.digest:
            decision = Decision(False, ("nothing new: the champion is this very bundle",))
        elif isinstance(theirs, Bundle) and not (obstacle := self._obstacle(theirs)):
            reached = self._measure(theirs, "champion")
            decision = self._decide(own, of_metric(reached, self.config.metric))
            decision = replace(decision, reasons=(*decision.reasons, *self._caveats(theirs)))
        else:
            why = obstacle if isinstance(theirs, Bundle) else theirs or "it has no bundle"
            decision = keep(f"the champion, version {champion.version}, cannot be compared: {why}")
        comparison = Comparison(
            self.config.metric,
            self.config.stage,
            tuple(self.config.codes),
            len(self.subjects),
            self.volumes,
            mean(own),
            mean(of_metric(reached, self.config.metric)) if reached else None,
            decision.gain,
        )
        outcome: Outcome = "promoted" if decision.is_promoted else "kept"
        after = candidate if decision.is_promoted else champion
        return Record(now(), "gate", outcome, candidate, champion, after, decision.reasons, comparison)

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
