"""Write everything the stage `evaluate` reports."""

from pathlib import Path

from matplotlib.figure import Figure

from bmenet.config import EvaluateConfig
from bmenet.evaluation.figures import before_after, metric_by_code, montage
from bmenet.evaluation.methods import COARSE, FINE
from bmenet.evaluation.result import Result
from bmenet.evaluation.summary import ALL_CODES, Summary, summarise, summarise_gains
from bmenet.evaluation.table import markdown, plot_csv, volumes_csv
from bmenet.figures import shown_slices
from bmenet.files import atomic_path, write_json, write_text
from bmenet.layout import Layout
from bmenet.volume import load_unit_volume

SHOWN_CODE = "111"
_PLOTTED = ("psnr", "psnr_brain", "ssim", "ssim_brain")


def write_report(results: list[Result], config: EvaluateConfig, seed: int, layout: Layout) -> dict[str, float]:
    """Write tables and figures to reports/evaluate; return the means under flat names, for tracking.

    ``metrics.json`` is method to code (or ``all``) to metric to mean, low and high; ``gains.json`` is the same for
    the paired differences of Coarse-net, and of the second stage, to every other method.
    """
    folder = layout.report("evaluate")
    summary = summarise(results, config.bootstrap, seed)
    methods = {result.method for result in results}
    gains = {
        method: summarise_gains(results, config.bootstrap, seed, method)
        for method in (COARSE, FINE)
        if method in methods
    }
    write_json(folder / "metrics.json", _plain(summary))
    write_json(folder / "gains.json", {method: _plain(over_others) for method, over_others in gains.items()})
    write_text(folder / "volumes.csv", volumes_csv(results))
    write_text(folder / "psnr_by_code.csv", plot_csv(summary))
    write_text(folder / "results.md", markdown(summary, gains, results))

    code = SHOWN_CODE if SHOWN_CODE in config.codes else config.codes[-1]
    subjects = {result.subject for result in results}
    clean = {subject: shown_slices(load_unit_volume(layout.clean(subject)).data) for subject in subjects}
    _save_figure(folder / "montage.png", montage(clean, results, code))
    _save_figure(folder / "before_after.png", before_after(clean, results, code))
    for metric in _PLOTTED:
        _save_figure(folder / f"{metric}_by_code.png", metric_by_code(summary, metric))
    return {
        f"test.{method}.{code}.{name}": interval.mean
        for method, by_code in summary.items()
        for code, intervals in by_code.items()
        for name, interval in intervals.items()
        if code in (SHOWN_CODE, ALL_CODES)
    }


def _plain(summary: Summary) -> dict:
    """Return the summary as dicts of numbers."""
    return {
        method: {
            code: {name: interval.as_dict() for name, interval in intervals.items()}
            for code, intervals in by_code.items()
        }
        for method, by_code in summary.items()
    }


def _save_figure(path: Path, figure: Figure) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, facecolor=figure.get_facecolor())
