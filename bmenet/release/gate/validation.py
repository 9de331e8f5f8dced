"""Every validation case through a model, and how close it came."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from bmenet.data.layout import Layout
from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.metrics.measure import measure
from bmenet.imaging.volume import Volume, load_unit_volume
from bmenet.runtime.errors import VolumeError
from bmenet.runtime.files import sha256
from bmenet.runtime.progress import progress_bar

Values = dict[str, dict[str, float]]
"""Subject to metric to value, the mean over codes."""


class Restores(Protocol):
    """What is measured: `bmenet.restoration.enhancer.Enhancer`, or anything else that restores."""

    def restore(self, volume: Volume) -> Volume:
        """Restore a skull-stripped volume on the standard grid."""


def measure_validation(
    enhancer: Restores, subjects: Sequence[str], codes: Sequence[str], layout: Layout, description: str
) -> Values:
    """Restore the volume of every subject under every code, and measure it against the clean one.

    Parameters
    ----------
    enhancer : Restores
    subjects, codes : sequence of str
    layout : Layout
    description : str
        Shown on the progress bar.

    Raises
    ------
    VolumeError
        If a volume is missing, or what was restored is not finite.
    """
    values: Values = {}
    with progress_bar() as bar:
        task = bar.add_task(description, total=len(subjects) * len(codes), note="")
        for subject in subjects:
            clean = load_unit_volume(layout.clean(subject))
            measured = []
            for code in codes:
                bar.update(task, note=f"{subject} {code}")
                restored = enhancer.restore(load_unit_volume(layout.case_input(subject, code)))
                measured.append(measure(restored, clean))
                bar.advance(task)
            values[subject] = {name: float(np.mean([of_code[name] for of_code in measured])) for name in METRICS}
    return values


def of_metric(values: Values, metric: str) -> dict[str, float]:
    """Return subject to one metric's value."""
    return {subject: of_subject[metric] for subject, of_subject in values.items()}


def means(values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return every metric's mean over subjects."""
    return {name: float(np.mean([of_subject[name] for of_subject in values.values()])) for name in METRICS}


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
