"""Write everything the stage `evaluate` reports."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bmenet.config import Config
from bmenet.config.evaluate import CLEAN_CODE
from bmenet.data.layout import Layout
from bmenet.data.names import dataset_of
from bmenet.evaluation import plots
from bmenet.evaluation.methods import COARSE, FINE
from bmenet.evaluation.pages import Layer, Page, Picture, Table, write_page
from bmenet.evaluation.result import INPUT, Result, restored_path, results_table, volumes_csv
from bmenet.evaluation.summary import ALL_CODES, Summary, as_numbers, beside, by_dataset, summarise, summarise_gains
from bmenet.evaluation.tables import METHOD_LABELS, REPORTED_METRICS, SHOWN_CODE, metric_label, results_text, tables
from bmenet.evaluation.tissue import DICE
from bmenet.imaging.brain import bounding_box, head_mask
from bmenet.imaging.figures import png_bytes, save_figure, shown_slices
from bmenet.imaging.volume import Volume, load_unit_volume
from bmenet.runtime.files import write_json, write_text

RESULTS_FILE = "results.md"
_PLOTTED = ("psnr", "psnr_brain", "ssim", "ssim_brain")
_MARGIN_VOXELS = 4
_UNIT = "of the clean scan's [0, 1]"

Facts = tuple[Mapping[str, str], Mapping[str, str]]
"""Settings of a run, and where its data and weights come from."""


@dataclass(frozen=True)
class _Part:
    """What is reported of all subjects, or of those of one data set: a `results_table`, its means, paired gains."""

    table: pd.DataFrame
    summary: Summary
    gains: dict[str, Summary]

    @classmethod
    def of(cls, table: pd.DataFrame, config: Config) -> "_Part":
        resamples, seed = config.evaluate.bootstrap, config.seed
        summary = summarise(table, resamples, seed)
        methods = [method for method in (COARSE, FINE) if method in summary]
        return cls(table, summary, {method: summarise_gains(table, resamples, seed, method) for method in methods})

    def tables(self, title: str = "") -> list[Table]:
        """Return every table, its title ended by that of the part and the number of its subjects."""
        found = tables(self.summary, self.gains, self.table)
        count = self.table["subject"].nunique()
        subjects = f"{count} subject{'s' if count > 1 else ''}"
        return [replace(table, title=f"{table.title}, {title} ({subjects})") for table in found] if title else found


def write_report(results: list[Result], config: Config, facts: Facts, layout: Layout) -> dict[str, float]:
    """Write tables, figures and the page; return the means under flat names, for tracking.

    ``reports/results.md`` is the text for readers. In ``reports/evaluate``: ``summary.json`` is method to code (or
    ``all``) to metric to mean, low and high; ``gains.json`` is the same for the paired differences of Coarse-net, and
    of the second stage, to every other method; ``metrics.json`` holds the means of the shown code alone (111
    where it was segmented); ``volumes.csv`` has a row a restored volume; ``report.html`` shows all of it, with one
    subject to look at.

    With several data sets every table is there for each as well: in ``metrics.json`` under ``datasets``, in the other
    files in rows such as ``ds000011/111``.
    """
    folder = layout.report("evaluate")
    table = results_table(results)
    subjects = set(table["subject"])
    whole = _Part.of(table, config)
    parts = {name: _Part.of(rows, config) for name, rows in by_dataset(table).items()}
    summary = beside(whole.summary, {name: part.summary for name, part in parts.items()})
    gains = {
        method: beside(over_others, {name: part.gains[method] for name, part in parts.items()})
        for method, over_others in whole.gains.items()
    }
    degraded = [code for code in config.evaluate.segmented_codes if code != CLEAN_CODE]
    code = SHOWN_CODE if SHOWN_CODE in degraded else degraded[-1]
    found = whole.tables("all data sets" if parts else "")
    for name, part in parts.items():
        found += part.tables(name)
    write_json(folder / "summary.json", as_numbers(summary))
    write_json(folder / "gains.json", {method: as_numbers(over_others) for method, over_others in gains.items()})
    means = {name: _means(part.summary, code) for name, part in ({"": whole} | parts).items()}
    datasets = {"datasets": {name: means[name] for name in parts}} if parts else {}
    write_json(folder / "metrics.json", means[""] | datasets)
    write_text(folder / "volumes.csv", volumes_csv(table))
    write_text(folder / "psnr_by_code.csv", _psnr_csv(summary))
    write_text(folder / "dice.csv", _dice_csv(means))
    write_text(layout.reports / RESULTS_FILE, results_text(_describe(config, subjects), len(subjects), found))

    clean = {subject: shown_slices(load_unit_volume(layout.clean(subject)).data) for subject in subjects}
    save_figure(folder / "montage.png", plots.montage(clean, results, code))
    save_figure(folder / "before_after.png", plots.before_after(clean, results, code))
    drawn = {
        f"{metric}_by_code": (f"{metric_label(metric)} by degradation", plots.metric_by_code(whole.summary, metric))
        for metric in _PLOTTED
    }
    drawn["subjects"] = ("Brain PSNR subject by subject", plots.subject_lines(results, "psnr_brain", code))
    drawn["dice"] = ("Dice overlap by region", plots.dice_bars(whole.summary, code))
    for name, (_, figure) in drawn.items():
        save_figure(folder / f"{name}.png", figure)
    write_page(folder / "report.html", evaluation_page(results, code, found, dict(drawn.values()), facts, layout))
    return {
        f"test.{method}.{code}.{name}": interval.mean
        for method, by_code in summary.items()
        for code, intervals in by_code.items()
        for name, interval in intervals.items()
        if code.rpartition("/")[2] in (SHOWN_CODE, ALL_CODES)
    }


def evaluation_page(
    results: Sequence[Result],
    code: str,
    found: Sequence[Table],
    figures: Mapping[str, Figure],
    facts: Facts,
    layout: Layout,
) -> Page:
    """Return the page of an evaluation: one test subject to look at, every table and every plot (title to figure).

    To be looked at is the subject of `median_subject` under `code`, whose volumes must have been kept.
    """
    subject = plots.median_subject(results, code)
    count = len({result.subject for result in results})
    return Page(
        title="Evaluation on test subjects",
        subtitle=f"{count} subjects that no training saw. To look at: {subject}, code {code} (motion, noise, bias),"
        " where the last method's PSNR is the median.",
        layers=_layers(subject, code, plots.without_ablations(results, code), layout),
        tables=found,
        pictures=[Picture(title, png_bytes(figure)) for title, figure in figures.items()],
        settings=facts[0],
        origin=facts[1],
    )


def _layers(subject: str, code: str, results: Sequence[Result], layout: Layout) -> list[Layer]:
    """Return the input and the last method first, then the clean scan, the other methods, and every method's error.

    All are cut to the box of the clean head, or stripped brain, with a margin: noise beyond it would fill the page.
    """
    clean = load_unit_volume(layout.clean(subject))
    methods = [result.method for result in results]
    volumes = {
        METHOD_LABELS[method]: load_unit_volume(restored_path(subject, code, method, layout)).data
        for method in dict.fromkeys([INPUT, methods[-1], *methods])
    }
    box = bounding_box(head_mask(clean.data, clean.grid.spacing_mm), _MARGIN_VOXELS)
    affine = clean.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]

    def shown(data: np.ndarray) -> Volume:
        return Volume(np.ascontiguousarray(data[box]), affine)

    images = [Layer(name, shown(data), "image", _UNIT) for name, data in volumes.items()]
    errors = [Layer(f"{name} - clean", shown(data - clean.data), "difference", _UNIT) for name, data in volumes.items()]
    return [*images[:2], Layer("clean", shown(clean.data), "image", _UNIT), *images[2:], *errors]


def _describe(config: Config, subjects: set[str]) -> str:
    """Return what was evaluated, in a sentence."""
    evaluate = config.evaluate
    datasets = ", ".join(f"`{name}`" for name in sorted(set(map(dataset_of, subjects))))
    return (
        f"Profile `{config.profile}`: data {datasets}, {config.grid.spacing_mm} mm, degradations"
        f" `{config.degradation.severity}`, seed {config.seed}; tissues by `{evaluate.segmenter}` under codes"
        f" {', '.join(f'`{code}`' for code in evaluate.segmented_codes)}. Written by the stage `evaluate`."
    )


def _means(summary: Summary, code: str) -> dict[str, dict[str, float]]:
    """Return method to metric to mean under one code: few enough numbers for `dvc metrics show`."""
    return {
        method: {
            name: interval.mean
            for name, interval in by_code[code].items()
            if name in REPORTED_METRICS or name.startswith(DICE)
        }
        for method, by_code in summary.items()
        if code in by_code
    }


def _psnr_csv(summary: Summary) -> str:
    """Return the brain PSNR by code, a column a method, as DVC plots it; the clean volume itself has none."""
    means = {
        method: {
            code: found["psnr_brain"].mean
            for code, found in by_code.items()
            if (method, code.rpartition("/")[2]) != (INPUT, CLEAN_CODE)
        }
        for method, by_code in summary.items()
    }
    codes = [code for code in next(iter(summary.values())) if code.rpartition("/")[2] != ALL_CODES]
    return _csv(means, codes, "code")


def _dice_csv(means: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return the Dice overlap by region, a column a method that has some, as DVC plots it.

    `means` is data set, empty for all of them, to method to metric to mean.
    """
    overlaps: dict[str, dict[str, float]] = {}
    for dataset, by_method in means.items():
        for method, found in by_method.items():
            for name, mean in found.items():
                if name.startswith(DICE):
                    region = metric_label(name)
                    overlaps.setdefault(method, {})[f"{dataset}/{region}" if dataset else region] = mean
    return _csv(overlaps, dict.fromkeys(region for found in overlaps.values() for region in found), "region")


def _csv(columns: Mapping[str, Mapping[str, float]], rows: Iterable[str], corner: str) -> str:
    """Return means as CSV with four digits; empty where there is none."""
    table = pd.DataFrame(columns).reindex(list(rows))
    return table.to_csv(index_label=corner, float_format="%.4f", lineterminator="\n")
