"""Write everything the stage `evaluate` reports."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from bmenet.config import Config
from bmenet.config.evaluate import CLEAN_CODE
from bmenet.data.layout import Layout
from bmenet.evaluation.figures import before_after, montage
from bmenet.evaluation.labels import SHOWN_CODE, is_dice, metric_label
from bmenet.evaluation.markdown import REPORTED_METRICS, results_text, tables
from bmenet.evaluation.methods import COARSE, FINE
from bmenet.evaluation.page import evaluation_page
from bmenet.evaluation.pages.page import write_page
from bmenet.evaluation.plots import dice_bars, metric_by_code, subject_lines
from bmenet.evaluation.result import Result
from bmenet.evaluation.summary import ALL_CODES, Summary, as_numbers, summarise, summarise_gains
from bmenet.evaluation.table import dice_csv, psnr_csv, volumes_csv
from bmenet.imaging.figures import save_figure, shown_slices
from bmenet.imaging.volume import load_unit_volume
from bmenet.runtime.files import write_json, write_text

RESULTS_FILE = "results.md"
_PLOTTED = ("psnr", "psnr_brain", "ssim", "ssim_brain")


def write_report(
    results: list[Result], config: Config, facts: tuple[Mapping[str, str], Mapping[str, str]], layout: Layout
) -> dict[str, float]:
    """Write tables, figures and the page; return the means under flat names, for tracking.

    ``reports/results.md`` is the text for readers. In ``reports/evaluate``: ``summary.json`` is method to code (or
    ``all``) to metric to mean, low and high; ``gains.json`` is the same for the paired differences of Coarse-net, and
    of the second stage, to every other method; ``metrics.json`` holds the means of the shown code alone (111
    where it was segmented); ``volumes.csv`` has a row a restored volume; ``report.html`` shows all of it, with one
    subject to look at.

    Parameters
    ----------
    results : list of Result
    config : Config
    facts : tuple of two mappings
        Settings and lineage, for the page.
    layout : Layout
    """
    folder = layout.report("evaluate")
    resamples, seed = config.evaluate.bootstrap, config.seed
    summary = summarise(results, resamples, seed)
    methods = {result.method for result in results}
    gains = {
        method: summarise_gains(results, resamples, seed, method) for method in (COARSE, FINE) if method in methods
    }
    degraded = [code for code in config.evaluate.segmented_codes if code != CLEAN_CODE]
    code = SHOWN_CODE if SHOWN_CODE in degraded else degraded[-1]
    write_json(folder / "summary.json", as_numbers(summary))
    write_json(folder / "gains.json", {method: as_numbers(over_others) for method, over_others in gains.items()})
    write_json(folder / "metrics.json", _means(summary, code))
    write_text(folder / "volumes.csv", volumes_csv(results))
    write_text(folder / "psnr_by_code.csv", psnr_csv(summary))
    write_text(folder / "dice.csv", dice_csv(summary, code))
    write_text(layout.reports / RESULTS_FILE, results_text(_describe(config), summary, gains, results))

    subjects = {result.subject for result in results}
    clean = {subject: shown_slices(load_unit_volume(layout.clean(subject)).data) for subject in subjects}
    for name, figure in {
        "montage": montage(clean, results, code),
        "before_after": before_after(clean, results, code),
    }.items():
        save_figure(folder / f"{name}.png", figure)
    plots = _plots(results, summary, code)
    for name, (_, figure) in plots.items():
        save_figure(folder / f"{name}.png", figure)
    page = evaluation_page(results, code, tables(summary, gains, results), dict(plots.values()), facts, layout)
    write_page(folder / "report.html", page)
    return {
        f"test.{method}.{code}.{name}": interval.mean
        for method, by_code in summary.items()
        for code, intervals in by_code.items()
        for name, interval in intervals.items()
        if code in (SHOWN_CODE, ALL_CODES)
    }


def _plots(results: list[Result], summary: Summary, code: str) -> dict[str, tuple[str, Figure]]:
    """Return file name to title and plot."""
    plots = {
        f"{metric}_by_code": (f"{metric_label(metric)} by degradation", metric_by_code(summary, metric))
        for metric in _PLOTTED
    }
    plots["subjects"] = ("Brain PSNR subject by subject", subject_lines(results, "psnr_brain", code))
    plots["dice"] = ("Dice overlap by region", dice_bars(summary, code))
    return plots


def _describe(config: Config) -> str:
    """Return what was evaluated, in a sentence."""
    evaluate = config.evaluate
    return (
        f"Profile `{config.profile}`: source `{config.data.source}`, {config.grid.spacing_mm} mm, degradations"
        f" `{config.degradation.severity}`, seed {config.seed}; tissues by `{evaluate.segmenter}` under codes"
        f" {', '.join(f'`{code}`' for code in evaluate.segmented_codes)}. Written by the stage `evaluate`."
    )


def _means(summary: Summary, code: str) -> dict[str, dict[str, float]]:
    """Return method to metric to mean under one code: few enough numbers for `dvc metrics show`."""
    return {
        method: {name: by_code[code][name].mean for name in by_code[code] if name in REPORTED_METRICS or is_dice(name)}
        for method, by_code in summary.items()
        if code in by_code
    }
