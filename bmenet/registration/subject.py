"""One subject of the stage `register`: the raw scan in, the clean unit volume and its sidecar out."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.data.participants import FetchedScan
from bmenet.imaging.brain import foreground_mask, head_mask
from bmenet.imaging.brain_extraction import find_brain
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.homogeneity import field_size, find_field
from bmenet.imaging.intensity import normalise
from bmenet.imaging.resample import resample
from bmenet.imaging.scan import load_scan
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume, save_field, save_mask, save_unit_volume
from bmenet.registration.rigid import AlignmentError, register
from bmenet.runtime.cache import CaseIndex, join_key
from bmenet.runtime.code import code_hash
from bmenet.runtime.files import atomic_path, write_json

_TISSUE_LEVELS = (0.1, 0.62)
"""Template intensities of the brain's outline and of the border of grey and white matter."""


def register_subject(subject: FetchedScan, config: Config, layout: Layout) -> float:
    """Register one raw scan and write its clean volume and its sidecar; return the similarity.

    The brain is what is aligned, and the head is what is kept, with a mask of its brain beside it; a stripped scan is a
    head of which nothing but the brain is left. The field that the scanner left in it is taken out and kept beside.

    Raises
    ------
    VolumeError
        If the raw file cannot be read, or no brain is found in it.
    RegistrationError
        If the scan cannot be laid on the template; `failure_picture` then shows how it lies.
    """
    scan = load_scan(layout.raw / subject.file).volume
    grid = standard_grid(config.grid.spacing_mm)
    brain = find_brain(scan)
    moving = scan if brain.is_skull_stripped else scan.with_data(np.maximum(scan.data, 0) * brain.brain_mask)
    try:
        registration = register(moving, config.registration)
    except AlignmentError as error:
        figure = alignment_figure(resample(moving, grid, error.moving2fixed), title=f"{subject.id}: {error}")
        with atomic_path(failure_picture(subject.id, layout)) as path:
            figure.savefig(path, dpi=100)
        raise
    # The cubic spline undershoots at the edge of a stripped brain; no signal is negative.
    standard = np.maximum(resample(scan, grid, registration.moving2fixed).data, 0)
    unit_data, _ = normalise(standard, config.intensity.percentile)
    if brain.is_skull_stripped:
        head = brain_mask = foreground_mask(unit_data)
    else:
        cover = resample(scan.with_data(brain.brain_mask), grid, registration.moving2fixed, order=1).data
        head, brain_mask = head_mask(unit_data, config.grid.spacing_mm), cover > 0.5
    coil_field = find_field(Volume(standard, grid.affine), brain_mask, head)
    field = coil_field.on(grid)
    unit_data, scale = normalise(standard / field, config.intensity.percentile)
    if brain.is_skull_stripped:
        brain_mask = foreground_mask(unit_data)
    save_unit_volume(layout.clean(subject.id), Volume(unit_data, grid.affine))
    save_mask(layout.brain_mask(subject.id), Volume(brain_mask, grid.affine))
    save_field(layout.field(subject.id), coil_field.volume)
    sidecar = {
        "subject": subject.id,
        "dataset": subject.dataset,
        "age": subject.age,
        "sex": subject.sex,
        "backend": registration.backend,
        "similarity": registration.similarity,
        "is_skull_stripped": brain.is_skull_stripped,
        "moving2fixed": registration.moving2fixed.tolist(),
        "intensity_scale": scale,
        "field_size": field_size(field, brain_mask),
        "voxel_mm": sorted(scan.grid.spacing_mm),
        "spacing_mm": config.grid.spacing_mm,
    }
    write_json(layout.transform(subject.id), sidecar)
    _index(layout).record(subject.id, _key(subject, config), *layout.registered_files(subject.id))
    return registration.similarity


def is_done(subject: FetchedScan, config: Config, layout: Layout) -> bool:
    """Tell whether the subject's files are there and came from the present scan, settings and code."""
    return _index(layout).holds(subject.id, _key(subject, config), *layout.registered_files(subject.id))


def failure_picture(subject_id: str, layout: Layout) -> Path:
    """Return where the picture of a failed registration is."""
    return layout.report("register") / "failed" / f"{subject_id}.png"


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


def _key(subject: FetchedScan, config: Config) -> str:
    """Return a hash of all that the files of a registered subject depend on."""
    settings = [part.model_dump(mode="json") for part in (config.grid, config.registration, config.intensity)]
    return join_key(subject.sha256, subject.age, subject.sex, settings, code_hash(__name__))


def _index(layout: Layout) -> CaseIndex:
    return CaseIndex(layout.index("registered"))
