"""The candidate against the champion, on the same validation volumes; nothing here knows of any other volumes."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from bmenet.config import PublishConfig
from bmenet.data.layout import Layout
from bmenet.evaluation.bootstrap import Interval
from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.metrics.measure import measure
from bmenet.imaging.volume import load_mask, load_unit_volume
from bmenet.release.gate import Decision, decide, keep
from bmenet.restoration.bundle import Bundle
from bmenet.restoration.enhancer import Enhancer
from bmenet.runtime.errors import ConfigError, VolumeError, WeightsError
from bmenet.runtime.files import sha256
from bmenet.runtime.progress import progress_bar
from bmenet.runtime.seeding import generator

Values = dict[str, dict[str, float]]
"""Subject to metric to value, the mean over codes."""


Load = Callable[[Bundle, Literal["coarse", "fine"]], Enhancer]
"""From a bundle and a stage to what restores, such as ``Enhancer.from_bundle``."""


@dataclass(frozen=True)
class Verdict:
    """What the gate decided about a candidate, and on what evidence. No subject is named.

    `metric` is what was compared, `stage` whose results, over `subjects` people. `volumes` is one hash of all volumes'
    checksums: the same volumes, the same hash. `candidate` and `champion` are means over subjects, None where there was
    no champion, or none that can be compared. A positive `gain` is better.
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
    """A candidate's bundle on the volumes of the validation subjects; `resamples` and `seed` are the bootstrap's.

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
        return {f"validation.{name}": _mean(self.values, name) for name in METRICS}

    def against(self, champion: str | None, theirs: Bundle | WeightsError | None) -> Verdict:
        """Decide, and say why.

        `champion` is the digest of the champion's bundle, None where there is no champion; `theirs` is that bundle, or
        why it cannot be read, and None where there is nothing to compare with.
        """
        config, reached = self.config, None
        obstacle = self._obstacle(theirs) if isinstance(theirs, Bundle) else str(theirs or "it has no bundle")
        if champion is None:
            decision = self._decide(None)
        elif champion == self.bundle.digest:
            decision = Decision(False, ("nothing new: the champion is this very bundle",))
        elif isinstance(theirs, Bundle) and not obstacle:
            reached = self._measure(theirs, "champion")
            decision = self._decide(reached)
            decision = replace(decision, reasons=(*decision.reasons, *self._caveats(theirs)))
        else:
            decision = keep(f"the champion cannot be compared: {obstacle}")
        return Verdict(
            decision.is_promoted,
            decision.reasons,
            config.metric,
            config.stage,
            tuple(config.codes),
            len(self.subjects),
            self.volumes,
            _mean(self.values, config.metric),
            _mean(reached, config.metric) if reached else None,
            decision.gain,
        )

    def _decide(self, champion: Values | None) -> Decision:
        metric = self.config.metric
        own, theirs = _of(self.values, metric), None if champion is None else _of(champion, metric)
        return decide(own, theirs, METRICS[metric], self.resamples, generator(self.seed, "bootstrap"))

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
        if self.bundle.manifest.lineage.get(key) == champion.manifest.lineage.get(key):
            return ()
        return ("the champion was trained under another split: it may have seen these volumes, to its advantage",)

    def _measure(self, bundle: Bundle, role: str) -> Values:
        enhancer = self.load(bundle, self.config.stage)
        return measure_validation(enhancer, self.subjects, self.config.codes, self.layout, f"validate the {role}")


def measure_validation(
    enhancer: Enhancer, subjects: Sequence[str], codes: Sequence[str], layout: Layout, description: str
) -> Values:
    """Restore every subject's volume under every code, and measure it against the clean one, behind a progress bar.

    Raises
    ------
    VolumeError
        If a volume is missing, or what was restored is not finite.
    """
    values: Values = {}
    with progress_bar() as bar:
        task = bar.add_task(description, total=len(subjects) * len(codes), note="")
        for subject in subjects:
            clean, brain_mask = load_unit_volume(layout.clean(subject)), load_mask(layout.brain_mask(subject))
            measured = []
            for code in codes:
                bar.update(task, note=f"{subject} {code}")
                restored = enhancer.restore(load_unit_volume(layout.case_input(subject, code)))
                measured.append(measure(restored, clean, brain_mask))
                bar.advance(task)
            values[subject] = {name: float(np.mean([of_code[name] for of_code in measured])) for name in METRICS}
    return values


def volumes_hash(subjects: Sequence[str], codes: Sequence[str], layout: Layout) -> str:
    """Return one hash of the checksums of all volumes that a comparison uses; no name goes into it.

    Raises
    ------
    VolumeError
        If a volume is missing.
    """
    paths = [layout.clean(subject) for subject in subjects]
    paths += [layout.case_input(subject, code) for subject in subjects for code in codes]
    if missing := [path for path in paths if not path.exists()]:
        raise VolumeError(
            f"{missing[0]}: expected the volumes of every validation subject under the codes of publish.codes; got "
            f"{len(missing)} fewer; run `dvc repro degrade`"
        )
    return hashlib.sha256("".join(sorted(map(sha256, paths))).encode()).hexdigest()


def _of(values: Values, metric: str) -> dict[str, float]:
    """Return subject to one metric's value."""
    return {subject: reached[metric] for subject, reached in values.items()}


def _mean(values: Values, metric: str) -> float:
    """Return a metric's mean over subjects."""
    return float(np.mean(list(_of(values, metric).values())))
