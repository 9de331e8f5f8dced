"""Draw heads before, after and clean: `python -m docs.pictures OUT SUBJECT ...`, in the workspace of an evaluation.

A row a subject, an axial slice, code 111, from what the stage `evaluate` kept.
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from bmenet.data.layout import Layout
from bmenet.evaluation.methods import COARSE
from bmenet.evaluation.result import INPUT, load_result
from bmenet.imaging.figures import Tile, draw_tiles, save_figure, shown_slices
from bmenet.imaging.volume import load_unit_volume

_CODE, _PLANE = "111", "axial"
_METHODS = {INPUT: "degraded", COARSE: "BMENet"}


def draw(subjects: list[str], layout: Layout) -> Figure:
    """Return the figure; brain PSNR stands under every picture."""
    rows = []
    for subject in subjects:
        results = {method: load_result(layout.evaluated(subject, _CODE, method)) for method in _METHODS}
        clean = shown_slices(load_unit_volume(layout.clean(subject)).data)
        tiles = [
            Tile(result.shown_slices[_PLANE], f"brain {result.metrics['psnr_brain']:.1f} dB")
            for result in results.values()
        ]
        rows.append([*tiles, Tile(clean[_PLANE], subject)])
    return draw_tiles(rows, [*_METHODS.values(), "clean"])


if __name__ == "__main__":
    out, *names = sys.argv[1:]
    save_figure(Path(out), draw(names, Layout()))
