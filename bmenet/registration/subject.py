"""One subject of the stage `register`: the raw scan in, the clean unit volume and its sidecar out."""

from pathlib import Path
from typing import Any

import numpy as np

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.data.table import FetchedScan
from bmenet.imaging.brain_extraction import find_brain
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.intensity import normalise
from bmenet.imaging.resample import resample
from bmenet.imaging.scan import load_scan
from bmenet.imaging.volume import Volume, save_unit_volume
from bmenet.registration.figure import alignment_figure
from bmenet.registration.rigid import AlignmentError, register
from bmenet.runtime.code import code_hash
from bmenet.runtime.files import atomic_path, read_json, write_json


def register_subject(subject: FetchedScan, config: Config, layout: Layout) -> float:
    """Register one raw scan and write its clean volume, then the sidecar that marks it done; return the similarity.

    Of a whole head only the brain is registered and kept: clean volumes have a background of zero, whatever they come
    from.

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
    if not brain.is_skull_stripped:
        # Cut after the interpolation: a spline across an edge cut before would ring.
        cover = resample(scan.with_data(brain.brain_mask), grid, registration.moving2fixed, order=1).data
        standard = np.where(cover > 0.5, standard, 0)
    unit_data, scale = normalise(standard, config.intensity.percentile)
    save_unit_volume(layout.clean(subject.id), Volume(unit_data, grid.affine))
    sidecar = {
        "subject": subject.id,
        "age": subject.age,
        "sex": subject.sex,
        "backend": registration.backend,
        "similarity": registration.similarity,
        "is_skull_stripped": brain.is_skull_stripped,
        "moving2fixed": registration.moving2fixed.tolist(),
        "intensity_scale": scale,
        "spacing_mm": config.grid.spacing_mm,
        "inputs": _inputs(subject, config),
    }
    write_json(layout.transform(subject.id), sidecar)
    return registration.similarity


def is_done(subject: FetchedScan, config: Config, layout: Layout) -> bool:
    """Tell whether the subject's files are there and came from the present scan, settings and code."""
    if not (layout.clean(subject.id).exists() and layout.transform(subject.id).exists()):
        return False
    return read_json(layout.transform(subject.id))["inputs"] == _inputs(subject, config)


def failure_picture(subject_id: str, layout: Layout) -> Path:
    """Return where the picture of a failed registration is."""
    return layout.report("register") / "failed" / f"{subject_id}.png"


def _inputs(subject: FetchedScan, config: Config) -> dict[str, Any]:
    """Return all that the files of a registered subject depend on."""
    return {
        "raw_sha256": subject.sha256,
        "covariates": [subject.age, subject.sex],
        "grid": config.grid.model_dump(),
        "registration": config.registration.model_dump(),
        "intensity": config.intensity.model_dump(),
        "method": code_hash(__name__),
    }
