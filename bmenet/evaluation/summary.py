"""From one result a volume to means over subjects, of all data sets and of each."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bmenet.config.evaluate import CLEAN_CODE
from bmenet.data.names import dataset_of
from bmenet.evaluation.bootstrap import Interval, bootstrap_mean
from bmenet.evaluation.result import INPUT
from bmenet.runtime.seeding import generator

ALL_CODES = "all"
"""The mean over the degraded codes of each subject; the clean input 000 is not one of them."""

UNNAMED = "no data set"
"""Where subjects stand whose ids name none, beside others whose do."""

Summary = dict[str, dict[str, dict[str, Interval]]]
"""Method to code (or `ALL_CODES`) to metric to interval."""


def summarise(results: pd.DataFrame, resamples: int, seed: int) -> Summary:
    """Return the mean over subjects of every metric of a `results_table`, by method and code and over degraded codes.

    `resamples` and `seed` are the bootstrap's.
    """
    return {
        method: {code: _intervals(values, resamples, seed) for code, values in by_code.items()}
        for method, by_code in _by_method_and_code(results).items()
    }


def summarise_gains(results: pd.DataFrame, resamples: int, seed: int, method: str) -> Summary:
    """Return the paired difference `method` minus every other method, subject by subject, in the same form.

    Only codes under which both were run are in it, and metrics that both have.
    """
    found = _by_method_and_code(results)
    own = found.pop(method)
    return {
        other: {
            code: _intervals((own[code] - values)[[name for name in values if name in own[code]]], resamples, seed)
            for code, values in by_code.items()
            # Nothing can gain on the clean volume itself: its PSNR is a cap, not a measurement.
            if code in own and (other, code) != (INPUT, CLEAN_CODE)
        }
        for other, by_code in found.items()
    }


def by_dataset(results: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return data set to its rows of a `results_table`, by name; nothing where there is but one."""
    names = results["subject"].map(dataset_of).replace("", UNNAMED)
    found = sorted(names.unique())
    return {name: results[names == name] for name in found} if len(found) > 1 else {}


def beside(summary: Summary, of_dataset: Mapping[str, Summary]) -> Summary:
    """Return a summary over all with those of data sets beside it, under codes such as ``ds000011/111``."""
    return {
        method: by_code
        | {f"{name}/{code}": found for name, part in of_dataset.items() for code, found in part[method].items()}
        for method, by_code in summary.items()
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


def _intervals(values: pd.DataFrame, resamples: int, seed: int) -> dict[str, Interval]:
    """Bootstrap every metric with the same draws of subjects, which are the same for every number of the report."""
    return {
        name: bootstrap_mean(column.to_numpy(), resamples, generator(seed, "bootstrap"))
        for name, column in values.items()
    }


def _by_method_and_code(results: pd.DataFrame) -> dict[str, dict[str, pd.DataFrame]]:
    """Return method to code to a row a subject and a column a metric, subjects in one order throughout.

    A method that was not run under every code has fewer codes, and no mean over all; of one code there is none either.
    A metric that not every subject has, or that was not taken under every code, is left out there: such a mean would
    compare different people.
    """
    codes = list(results["code"].unique())
    degraded_codes = [code for code in codes if code != CLEAN_CODE]
    table: dict[str, dict[str, pd.DataFrame]] = {}
    for method, of_method in results.drop(columns="seconds").groupby("method", sort=False):
        by_code = {
            code: of_code.set_index("subject").sort_index().drop(columns=["method", "code"]).dropna(axis="columns")
            for code in codes
            if len(of_code := of_method[of_method["code"] == code])
        }
        if len(degraded_codes) > 1 and set(degraded_codes) <= set(by_code):
            degraded = [by_code[code] for code in degraded_codes]
            names = [name for name in degraded[0] if all(name in values for values in degraded)]
            mean = np.mean([values[names].to_numpy() for values in degraded], axis=0)
            by_code[ALL_CODES] = pd.DataFrame(mean, degraded[0].index, names)
        table[str(method)] = by_code
    return table
