"""What the stage `evaluate` measured, as a card tells it."""

from dataclasses import dataclass
from pathlib import Path

from bmenet.config.evaluate import CLEAN_CODE
from bmenet.data.layout import Layout
from bmenet.evaluation.bootstrap import Interval
from bmenet.evaluation.labels import METHOD_LABELS, SHOWN_CODE
from bmenet.evaluation.markdown import cell, column, markdown_table
from bmenet.evaluation.methods import COARSE, FINE, INPUT
from bmenet.evaluation.summary import Summary
from bmenet.networks.weights import SPEC_FILE
from bmenet.runtime.errors import WeightsError
from bmenet.runtime.files import read_json

_METRICS = ("psnr", "ssim", "psnr_brain", "ssim_brain", "hfen_brain")
_CODES = (SHOWN_CODE, "100", "010", "001", CLEAN_CODE)


@dataclass(frozen=True)
class Figures:
    """Means over test subjects with their intervals.

    Parameters
    ----------
    summary : Summary
        Method to code to metric to interval.
    """

    summary: Summary

    def table(self) -> str:
        """Return input, both stages, and the codes that were evaluated: all three together, one at a time, none."""
        rows = [
            [
                f"`{code}`",
                METHOD_LABELS[method],
                *(cell(self.summary[method][code].get(name), name) for name in _METRICS),
            ]
            for code in _CODES
            for method in (INPUT, COARSE, FINE)
            # The clean volume itself is no measurement.
            if code in self.summary.get(method, {}) and (method, code) != (INPUT, CLEAN_CODE)
        ]
        return markdown_table(["code", "", *map(column, _METRICS)], rows)

    def line(self) -> str:
        """Return the first stage's quality in one line."""
        before, after = (self.summary[method][SHOWN_CODE] for method in (INPUT, COARSE))
        shown = (
            ("brain PSNR", "psnr_brain", ".1f", " dB"),
            ("PSNR", "psnr", ".1f", " dB"),
            ("SSIM", "ssim", ".3f", ""),
        )
        told = [
            f"{label} {before[name].mean:{spec}} to {after[name].mean:{spec}}{unit}"
            for label, name, spec, unit in shown
        ]
        clean = self.summary[COARSE].get(CLEAN_CODE)
        kept = f"; clean scans {clean['psnr_brain'].mean:.1f} dB on average" if clean else ""
        return f"code {SHOWN_CODE}: {', '.join(told)}{kept}"


def read_figures(layout: Layout, kinds: list[str]) -> Figures:
    """Read what was measured of a workspace's networks.

    Parameters
    ----------
    layout : Layout
    kinds : list of str
        The networks that the figures must be of.

    Raises
    ------
    WeightsError
        If nothing was measured, not under code 111, or before the networks were trained.
    """
    path = layout.report("evaluate") / "summary.json"
    if not path.is_file():
        raise WeightsError(f"{path}: expected what the stage evaluate measured; got none; run `dvc repro evaluate`")
    newer = [kind for kind in kinds if _mtime(layout.weights(kind) / SPEC_FILE) > _mtime(path)]
    if newer:
        raise WeightsError(
            f"{path}: expected figures of these networks; got older ones than weights/{newer[0]}; run"
            " `dvc repro evaluate`"
        )
    summary = {
        method: {
            code: {name: Interval(**interval) for name, interval in intervals.items()}
            for code, intervals in by_code.items()
        }
        for method, by_code in read_json(path).items()
    }
    if not all(SHOWN_CODE in summary.get(method, {}) for method in (INPUT, COARSE)):
        raise WeightsError(f"{path}: expected code {SHOWN_CODE}; got none; add it to evaluate.codes and `dvc repro`")
    return Figures(summary)


def _mtime(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0
