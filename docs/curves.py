"""Draw how the released Coarse-net was trained: `python -m docs.curves`.

Reads ``history.csv`` and ``validation.csv`` of both parts, as the stage `train_coarse` wrote them, from
``docs/ds002748/training/<part>_*.csv``, and writes ``docs/ds002748/training.png``.
"""

from pathlib import Path

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bmenet.imaging.figures import save_figure

FOLDER = Path("docs/ds002748")
PARTS = ("base", "full")
_SMOOTHED = 15
"""Rows of the history, of 20 steps each, that a point of a curve is the mean of."""


def draw(folder: Path = FOLDER) -> Figure:
    """Return loss terms and validation scores of both parts, one after the other."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = dict(zip(("train.ssim", "train.edge", "111", "000"), figure.subplots(1, 4), strict=True))
    start = 0
    for part, colour in zip(PARTS, ("tab:gray", "tab:blue"), strict=True):
        history = pd.read_csv(folder / "training" / f"{part}_history.csv")
        scores = pd.read_csv(folder / "training" / f"{part}_validation.csv")
        for term in ("train.ssim", "train.edge"):
            smooth = history[term].rolling(_SMOOTHED, min_periods=1).mean()
            panels[term].plot(history["step"] + start, smooth, color=colour, label=part)
        for code in ("111", "000"):
            panels[code].plot(scores["step"] + start, scores[f"val.psnr_brain.{code}"], "o-", color=colour, label=part)
        start += int(history["step"].iloc[-1])
    titles = (
        "1 - SSIM, training crops",
        "edge loss, training crops",
        "brain PSNR (dB), code 111",
        "brain PSNR (dB), clean in",
    )
    for (name, axes), title in zip(panels.items(), titles, strict=True):
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        if name == "train.ssim":
            axes.legend()
    return figure


if __name__ == "__main__":
    save_figure(FOLDER / "training.png", draw())
