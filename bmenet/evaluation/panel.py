"""Volumes side by side, with their errors and PSNR: the picture that training logs as it goes."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from bmenet.evaluation.metrics.fidelity import psnr
from bmenet.imaging.figures import PLANES, Tile, draw_tiles, shown_slices


def panel(volumes: Mapping[str, np.ndarray], title: str) -> Figure:
    """Show volumes of unit intensities, shape (X, Y, Z), in three planes, then how far each is from `clean`."""
    cuts = {name: shown_slices(data) for name, data in volumes.items()}
    others = [name for name in volumes if name != "clean"]
    captions = {name: f"{psnr(volumes[name], volumes['clean']):.2f} dB" for name in others}
    last = list(PLANES)[-1]
    rows = [
        [Tile(cuts[name][plane], captions.get(name, "") if plane == last else "") for name in volumes]
        + [Tile(np.abs(cuts[name][plane] - cuts["clean"][plane]), is_difference=True) for name in others]
        for plane in PLANES
    ]
    return draw_tiles(rows, [*volumes, *(f"error of\n{name}" for name in others)], title)
