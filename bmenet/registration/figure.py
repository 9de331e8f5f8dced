"""Picture of an alignment: the scan in three planes, under the outlines of the template."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume

_TISSUE_LEVELS = (0.1, 0.62)
"""Template intensities of the brain's outline and of the border of grey and white matter."""


def alignment_figure(aligned: Volume, title: str) -> Figure:
    """Show `aligned`, on the standard grid and of any intensity scale, with the template's brain and white matter."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=8, wrap=True)
    ceiling = max(float(np.percentile(aligned.data, 99.5)), np.finfo(np.float32).tiny)
    template = load_template(aligned.grid).data
    for normal, axes in enumerate(figure.subplots(1, 3)):
        middle = aligned.data.shape[normal] // 2
        axes.imshow(aligned.data.take(middle, normal).T, cmap="gray", vmin=0, vmax=ceiling, origin="lower")
        outlines = template.take(middle, normal).T
        axes.contour(outlines, levels=_TISSUE_LEVELS, colors=["tab:red", "gold"], linewidths=0.6)
        axes.set_axis_off()
    return figure
