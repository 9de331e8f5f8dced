"""The gate: whether a new model takes the champion's place, and the reasons in words."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bmenet.evaluation.bootstrap import Interval, bootstrap_mean
from bmenet.evaluation.metrics import Metric
from bmenet.runtime.errors import BMENetError

_MIN_SUBJECTS = 2


@dataclass(frozen=True)
class Decision:
    """Whether a candidate becomes champion, and sentences that say why.

    `gain` is the candidate's over the champion, paired by subject; positive is better, whichever way the metric points.
    It is None where nothing was compared.
    """

    is_promoted: bool
    reasons: tuple[str, ...]
    gain: Interval | None = None


def decide(
    candidate_values: Mapping[str, float],
    champion_values: Mapping[str, float] | None,
    metric: Metric,
    resamples: int,
    generator: np.random.Generator,
) -> Decision:
    """Promote the candidate if it is better than the champion on the same subjects, beyond chance.

    Better is: the 95 % interval of the mean paired gain lies wholly above 0. The interval is a bootstrap over subjects,
    so two subjects at least are needed.

    Parameters
    ----------
    candidate_values, champion_values : mapping
        Validation subject to value; of several codes their mean. The champion's are None where there is none: the
        candidate becomes the first.
    metric : Metric
        Says which way is better.
    resamples : int
    generator : numpy.random.Generator

    Raises
    ------
    BMENetError
        If there is no subject, or a value is not finite.
    """
    _require_finite("candidate", candidate_values)
    if champion_values is None:
        return Decision(True, ("there was no champion: the first model becomes it",))
    _require_finite("champion", champion_values)
    if candidate_values.keys() != champion_values.keys():
        return keep(
            f"the champion was measured on other validation subjects ({len(champion_values)}, of which "
            f"{len(candidate_values.keys() & champion_values.keys())} are the candidate's {len(candidate_values)})"
        )
    gains = np.array([candidate_values[subject] - champion_values[subject] for subject in sorted(candidate_values)])
    if metric.lower_is_better:
        gains = -gains
    if gains.size < _MIN_SUBJECTS:
        return keep(f"one validation subject (gain {gains[0]:+.4g}) has no interval: raise split.validation")
    gain = bootstrap_mean(gains, resamples, generator)
    figures = f"mean gain {gain.mean:+.4g}, 95 % interval {gain.low:+.4g} to {gain.high:+.4g}, {gains.size} subjects"
    outcome = "no better than the champion, as the interval contains 0"
    if gain.low > 0 or gain.high < 0:
        outcome = f"{'better' if gain.low > 0 else 'worse'} than the champion"
    return Decision(gain.low > 0, (f"{outcome}: {figures}",), gain)


def keep(reason: str) -> Decision:
    """Return the decision for models that cannot be compared: the champion stays, unless a person says otherwise."""
    return Decision(False, (reason, "to promote it all the same: `bmenet registry promote VERSION`"))


def _require_finite(name: str, values: Mapping[str, float]) -> None:
    """Refuse what cannot be compared."""
    if not values:
        raise BMENetError(f"the gate: expected values of the {name} on one or more validation subjects; got none")
    if bad := sum(not np.isfinite(value) for value in values.values()):
        raise BMENetError(
            f"the gate: expected finite values of the {name}; got {bad} of {len(values)} that are not; look at its "
            "restored volumes"
        )
