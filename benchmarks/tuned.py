"""The tuned values against those of params.yaml on the test subjects, once: `python -m benchmarks.tuned [--best FILE]`.

Nothing is decided by it: the values were chosen on validation subjects. What was measured is kept beside the best
values; the same question is answered from there, so that nobody tries test subjects until they please.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from bmenet.cli.errors import exit_on_error
from bmenet.config import Config, SamplingConfig, load_config, with_values
from bmenet.data.layout import Layout
from bmenet.evaluation.bootstrap import bootstrap_mean
from bmenet.evaluation.methods import Restorations, method_fingerprint
from bmenet.evaluation.metrics.measure import measure
from bmenet.imaging.volume import load_mask, load_unit_volume
from bmenet.runtime.errors import BMENetError
from bmenet.runtime.files import read_json, write_json
from bmenet.runtime.parallel import require_all, run_parallel
from bmenet.runtime.seeding import generator
from bmenet.tuning.objective import sign
from bmenet.tuning.report import BEST_FILE

_SHOWN = ("psnr_brain", "ssim_brain", "hfen_brain", "psnr")


def main() -> None:
    """Measure both, unless it is known, and print one table: means, the paired gain, its interval."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    best = Layout().report("tune") / BEST_FILE
    parser.add_argument("--best", type=Path, default=best, help="dotted keys and values")
    parser.add_argument("--code", default="111")
    arguments = parser.parse_args()
    config, layout = load_config(), Layout()
    if not arguments.best.exists():
        raise BMENetError(f"{arguments.best}: no such file; run `bmenet tune` first")
    tuned = with_values(config, yaml.safe_load(arguments.best.read_text(encoding="utf-8")))
    if tuned.sampling == config.sampling:
        raise BMENetError(f"{arguments.best}: expected values of the section sampling unlike those of params.yaml")
    path = arguments.best.with_name("test.json")
    key = [_key(section.sampling, config, layout) for section in (config, tuned)] + [arguments.code]
    kept = read_json(path) if path.exists() else {}
    if kept.get("key") != key:
        kept = {"key": key, "gains": _measure(config, tuned, layout, arguments.code)}
        write_json(path, kept)
    _print(kept["gains"], arguments.code)


def _measure(config: Config, tuned: Config, layout: Layout, code: str) -> dict[str, dict[str, float]]:
    """Return metric to both means, the paired gain and its interval; more of a gain is better."""
    subjects = read_json(layout.split)["test"]
    items = [(name, (name, code, layout, [config.sampling, tuned.sampling], config.seed)) for name in subjects]
    found, failures = run_parallel(_restore, items, description="test subjects")
    require_all("benchmarks.tuned", failures, len(items))
    gains = {}
    for metric in _SHOWN:
        before, after = (np.array([found[name][which][metric] for name in subjects]) for which in (0, 1))
        draws = generator(config.seed, "bootstrap", metric)
        gain = bootstrap_mean(sign(metric) * (after - before), config.evaluate.bootstrap, draws)
        coarse = float(np.mean([found[name][2][metric] for name in subjects]))
        gains[metric] = {"coarse": coarse, "before": float(before.mean()), "tuned": float(after.mean())}
        gains[metric] |= {f"gain.{name}": value for name, value in gain.as_dict().items()}
    return gains


def _restore(
    subject: str, code: str, layout: Layout, samplings: list[SamplingConfig], seed: int
) -> list[dict[str, float]]:
    """Return the metrics of a subject under each sampling, then those of the coarse result."""
    clean, degraded = load_unit_volume(layout.clean(subject)), load_unit_volume(layout.case_input(subject, code))
    restorations = Restorations(degraded, layout.weights_folder, samplings[0], seed)  # its coarse result serves all
    results = []
    for sampling in samplings:
        restorations.sampling = sampling
        results.append(restorations("fine")[0])
    brain_mask = load_mask(layout.brain_mask(subject))
    return [measure(result, clean, brain_mask) for result in [*results, restorations("coarse")[0]]]


def _key(sampling: SamplingConfig, config: Config, layout: Layout) -> str:
    return method_fingerprint("fine", layout.weights_folder, sampling, config.seed)


def _print(gains: dict[str, Any], code: str) -> None:
    table = Table(title=f"test subjects, code {code}: params.yaml against the tuned values")
    for name in ("metric", "coarse", "params.yaml", "tuned", "gain", "95 % interval"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for metric, row in gains.items():
        interval = f"{row['gain.low']:+.4f} to {row['gain.high']:+.4f}"
        shown = [f"{row[name]:.4f}" for name in ("coarse", "before", "tuned")]
        table.add_row(metric, *shown, f"{row['gain.mean']:+.4f}", interval)
    Console().print(table)


if __name__ == "__main__":
    with exit_on_error():
        main()
