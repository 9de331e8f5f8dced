"""The evaluation as a page for the browser: one test subject to look at, every table and every plot."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from bmenet.data.layout import Layout
from bmenet.evaluation.case import load_restored
from bmenet.evaluation.figures import median_subject, without_ablations
from bmenet.evaluation.labels import METHOD_LABELS
from bmenet.evaluation.methods import INPUT
from bmenet.evaluation.pages.page import Layer, Page, Picture, Table
from bmenet.evaluation.result import Result
from bmenet.imaging.box import bounding_box
from bmenet.imaging.figures import png_bytes
from bmenet.imaging.volume import Volume, load_unit_volume

_MARGIN_VOXELS = 4
_UNIT = "of the clean scan's [0, 1]"


def evaluation_page(
    results: Sequence[Result],
    code: str,
    tables: Sequence[Table],
    figures: Mapping[str, Figure],
    facts: tuple[Mapping[str, str], Mapping[str, str]],
    layout: Layout,
) -> Page:
    """Return the page of an evaluation.

    Parameters
    ----------
    results : sequence of Result
    code : str
        Of the case that can be looked at: the subject of `median_subject`. Its volumes must have been kept.
    tables : sequence of Table
    figures : mapping
        Title to plot.
    facts : tuple of two mappings
        Settings, and where data and weights come from.
    layout : Layout
    """
    subject = median_subject(results, code)
    settings, lineage = facts
    count = len({result.subject for result in results})
    return Page(
        title="Evaluation on test subjects",
        subtitle=f"{count} subjects that no training saw. To look at: {subject}, code {code} (motion, noise, bias),"
        " where the last method's PSNR is the median.",
        layers=_layers(subject, code, without_ablations(results, code), layout),
        tables=tables,
        pictures=[Picture(title, png_bytes(figure)) for title, figure in figures.items()],
        settings=settings,
        lineage=lineage,
    )


def _layers(subject: str, code: str, results: Sequence[Result], layout: Layout) -> list[Layer]:
    """Return the input and the last method first, then the clean scan, the other methods, and every method's error."""
    clean = load_unit_volume(layout.clean(subject))
    methods = list(dict.fromkeys(result.method for result in results))
    volumes = {method: load_restored(subject, code, method, layout) for method in methods}
    order = [INPUT, methods[-1], *(method for method in methods if method not in (INPUT, methods[-1]))]
    shown = _around(clean)
    images = [Layer(METHOD_LABELS[method], shown(volumes[method].data), "image", _UNIT) for method in order]
    errors = [
        Layer(f"{METHOD_LABELS[method]} - clean", shown(volumes[method].data - clean.data), "difference", _UNIT)
        for method in order
    ]
    return [*images[:2], Layer("clean", shown(clean.data), "image", _UNIT), *images[2:], *errors]


def _around(clean: Volume) -> Callable[[np.ndarray], Volume]:
    """Return what cuts data to the box of the clean brain with a margin: noise beyond it would fill the page."""
    box = bounding_box(clean.data > 0, _MARGIN_VOXELS)
    affine = clean.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    return lambda data: Volume(np.ascontiguousarray(data[box]), affine)
