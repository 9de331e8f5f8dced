"""Draw heads before, after and clean: `python -m docs.pictures OUT SUBJECT ...`, in the workspace of an evaluation.

Two rows a subject, axial and sagittal, code 111, from what the stage `evaluate` kept.
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from bmenet.data.layout import Layout
from bmenet.evaluation.methods import COARSE
from bmenet.evaluation.result import INPUT, load_result
from bmenet.imaging.figures import Tile, draw_tiles, save_figure, shown_slices
from bmenet.imaging.volume import load_unit_volume

_CODE = "111"
_METHODS = {INPUT: "degraded", COARSE: "BMENet"}


def draw(subjects: list[str], layout: Layout) -> Figure:
    """Return the figure; brain PSNR stands under every picture."""
    rows = []
    for subject in subjects:
        results = {method: load_result(layout.evaluated(subject, _CODE, method)) for method in _METHODS}
        clean = shown_slices(load_unit_volume(layout.clean(subject)).data)
        for plane in ("axial", "sagittal"):
            tiles = [
                Tile(result.shown_slices[plane], f"brain {result.metrics['psnr_brain']:.1f} dB")
                for result in results.values()
            ]
            rows.append([*tiles, Tile(clean[plane], subject)])
    return draw_tiles(rows, [*_METHODS.values(), "clean"])


if __name__ == "__main__":
    out, *names = sys.argv[1:]
    save_figure(Path(out), draw(names, Layout()))
