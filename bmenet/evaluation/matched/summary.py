"""From the results of matched pairs to means over people: by acquisition, over both, and by severity."""

from dataclasses import replace

import numpy as np

from bmenet.data.mr_art import MOVED, STILL
from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.result import Result
from bmenet.evaluation.summary import Summary, summarise, summarise_gains

MOVED_CODE = "moved"
"""The mean over a person's moved scans, one or two; then over people."""

SCORES = {1: "good", 2: "medium", 3: "bad"}
"""The neuroradiologists' score of a scan to what it says about clinical use."""

Scores = dict[str, dict[str, int]]
"""Subject to acquisition to score."""


def score_code(score: int) -> str:
    """Return the code of a person's moved scans with a score, such as ``score-3``."""
    return f"score-{score}"


def by_severity(results: list[Result], scores: Scores) -> dict[str, list[Result]]:
    """Group results, one a person and method, under the codes that are reported; codes without a result are left out.

    The codes: each moved acquisition, `MOVED_CODE`, a `score_code` for each score, ``standard``. People differ in what
    they have of these, so every code is summarised over its own people.
    """
    moved = [result for result in results if result.code in MOVED]
    groups = {code: [result for result in results if result.code == code] for code in MOVED}
    groups[MOVED_CODE] = _mean_of_person(moved, MOVED_CODE)
    for score in SCORES:
        scored = [result for result in moved if scores.get(result.subject, {}).get(result.code) == score]
        groups[score_code(score)] = _mean_of_person(scored, score_code(score))
    groups[STILL] = [result for result in results if result.code == STILL]
    return {code: group for code, group in groups.items() if group}


def summarise_matched(groups: dict[str, list[Result]], resamples: int, seed: int) -> Summary:
    """Return the mean and its interval of every metric, for each method and code of `by_severity`."""
    return _merge({code: summarise(group, resamples, seed) for code, group in groups.items()})


def summarise_matched_gains(groups: dict[str, list[Result]], resamples: int, seed: int, method: str) -> Summary:
    """Return the paired difference `method` minus every other method in the same form."""
    return _merge({code: summarise_gains(group, resamples, seed, method) for code, group in groups.items()})


def _mean_of_person(results: list[Result], code: str) -> list[Result]:
    """Average what a person has under several codes, so that people count alike."""
    together: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        together.setdefault((result.method, result.subject), []).append(result)
    return [
        replace(
            several[0],
            code=code,
            metrics={name: float(np.mean([result.metrics[name] for result in several])) for name in METRICS},
            seconds=float(np.mean([result.seconds for result in several])),
        )
        for several in together.values()
    ]


def _merge(by_code: dict[str, Summary]) -> Summary:
    """Put summaries of one code each together; method outside, code inside."""
    merged: Summary = {}
    for code, summary in by_code.items():
        for method, intervals in summary.items():
            merged.setdefault(method, {})[code] = intervals[code]
    return merged
