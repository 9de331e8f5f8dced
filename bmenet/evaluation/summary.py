"""From one result a volume to means over subjects."""

import numpy as np

from bmenet.config.evaluate import CLEAN_CODE
from bmenet.evaluation.bootstrap import Interval, bootstrap_mean
from bmenet.evaluation.methods import COARSE, INPUT
from bmenet.evaluation.result import Result
from bmenet.runtime.seeding import generator

ALL_CODES = "all"
"""The mean over the degraded codes of each subject; the clean input 000 is not one of them."""

Summary = dict[str, dict[str, dict[str, Interval]]]
"""Method to code (or `ALL_CODES`) to metric to interval."""


def summarise(results: list[Result], resamples: int, seed: int) -> Summary:
    """Return the mean over subjects of every metric, for each method and code and over all degraded codes."""
    return {
        method: {
            code: {name: _interval(values, resamples, seed) for name, values in by_metric.items()}
            for code, by_metric in by_code.items()
        }
        for method, by_code in _tabulate(results).items()
    }


def summarise_gains(results: list[Result], resamples: int, seed: int, method: str = COARSE) -> Summary:
    """Return the paired difference `method` minus every other method, subject by subject, in the same form.

    Only codes under which both were run are in it.
    """
    table = _tabulate(results)
    return {
        other: {
            code: {
                name: _interval(table[method][code][name] - values, resamples, seed)
                for name, values in by_code[code].items()
                if name in table[method][code]
            }
            for code in by_code
            # Nothing can gain on the clean volume itself: its PSNR is a cap, not a measurement.
            if code in table[method] and (other, code) != (INPUT, CLEAN_CODE)
        }
        for other, by_code in table.items()
        if other != method
    }


def as_numbers(summary: Summary) -> dict:
    """Return a summary as dicts of numbers, for JSON."""
    return {
        method: {
            code: {name: interval.as_dict() for name, interval in intervals.items()}
            for code, intervals in by_code.items()
        }
        for method, by_code in summary.items()
    }


def _interval(values: np.ndarray, resamples: int, seed: int) -> Interval:
    """Bootstrap with the same draws of subjects for every number of the report."""
    return bootstrap_mean(values, resamples, generator(seed, "bootstrap"))


def _tabulate(results: list[Result]) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Return method to code to metric to one value a subject, subjects in one order throughout.

    A method that was not run under every code has fewer codes, and no mean over all; of one code there is none either.
    A metric that not every subject has, or that was not taken under every code, is left out there: such a mean would
    compare different people.
    """
    subjects = sorted({result.subject for result in results})
    codes = list(dict.fromkeys(result.code for result in results))
    degraded_codes = [code for code in codes if code != CLEAN_CODE]
    found = {(result.method, result.code, result.subject): result.metrics for result in results}
    table: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for method in dict.fromkeys(result.method for result in results):
        by_code = {
            code: _gather([found[method, code, subject] for subject in subjects])
            for code in codes
            if (method, code, subjects[0]) in found
        }
        if len(degraded_codes) > 1 and set(degraded_codes) <= set(by_code):
            by_code[ALL_CODES] = {
                name: np.mean([by_code[code][name] for code in degraded_codes], axis=0)
                for name in by_code[degraded_codes[0]]
                if all(name in by_code[code] for code in degraded_codes)
            }
        table[method] = by_code
    return table


def _gather(metrics: list[dict[str, float]]) -> dict[str, np.ndarray]:
    """Turn one dict a subject into one array a metric that all of them have."""
    names = [name for name in metrics[0] if all(name in of_subject for of_subject in metrics)]
    return {name: np.array([of_subject[name] for of_subject in metrics]) for name in names}
