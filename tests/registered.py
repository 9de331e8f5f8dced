"""A registered subject as the stage `register` leaves one, and a head that is made around a brain."""

from typing import Any

import numpy as np
from scipy import ndimage

from bmenet.data.layout import Layout
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.volume import Volume, save_mask, save_unit_volume
from bmenet.runtime.files import write_json

_SKULL_MM, _SCALP_MM, _NECK_MM = 8.0, 20.0, 24.0


def save_registered(
    layout: Layout, subject: str, clean: Volume, brain_mask: np.ndarray | None = None, **sidecar: Any
) -> None:
    """Write clean volume, brain mask and sidecar of a subject; without a mask the volume is a stripped brain."""
    save_unit_volume(layout.clean(subject), clean)
    mask = foreground_mask(clean.data) if brain_mask is None else brain_mask
    save_mask(layout.brain_mask(subject), clean.with_data(mask))
    spacing_mm = clean.grid.spacing_mm
    known = {"subject": subject, "age": None, "sex": None, "is_skull_stripped": brain_mask is None}
    known |= {"field_size": 0.0, "voxel_mm": sorted(spacing_mm), "spacing_mm": spacing_mm[0]}
    write_json(layout.transform(subject), known | sidecar)


def head_around(brain: Volume) -> tuple[Volume, np.ndarray]:
    """Return a brain with a dark skull, a bright scalp and a neck, and the mask of the brain."""
    brain_mask = foreground_mask(brain.data)
    distance_mm = ndimage.distance_transform_edt(~brain_mask, sampling=brain.grid.spacing_mm)
    scalp = (distance_mm > _SKULL_MM) & (distance_mm <= _SCALP_MM)
    x, y, z = (np.arange(extent) * width for extent, width in zip(brain.data.shape, brain.grid.spacing_mm, strict=True))
    is_below = (abs(x - x.mean()) < _NECK_MM)[:, None, None] & (abs(y - y.mean()) < _NECK_MM)[:, None] & (z < z.mean())
    tissue = np.where(is_below, 0.6, np.where(scalp, 0.9, 0))
    return brain.with_data(np.where(brain_mask, brain.data, tissue)), brain_mask
