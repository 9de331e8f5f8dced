"""The degradation model: y = | A(b . x) + n |, motion A, coil b, noise n, in the order of the physics.

Drawing and applying are two things: `draw` returns plain numbers for a sidecar, `apply` makes the same volume from
them again, bit for bit.
"""

import numpy as np

from bmenet.config import Severity
from bmenet.degradation import bias_field, motion, rician_noise
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.resample import resample_unit
from bmenet.imaging.volume import UNIT_STEP, Volume

DEGRADATIONS = {"motion": motion, "noise": rician_noise, "bias": bias_field}
"""Name in a severity preset to module; the order is that of the digits of a code."""

SIDECAR_FORMAT = 1


def effects(code: str) -> list[str]:
    """Return the names of the effects that a three-digit code switches on.

    Examples
    --------
    >>> effects("101")
    ['motion', 'bias']
    """
    if len(code) != len(DEGRADATIONS) or set(code) - {"0", "1"}:
        raise ValueError(f"`code`: expected three digits 0 or 1 (motion, noise, bias), such as '111'; got {code!r}")
    return [name for name, digit in zip(DEGRADATIONS, code, strict=True) if digit == "1"]


def phase_encode_axis(parameters: dict) -> int | None:
    """Return the axis along which drawn motion spread, 0, 1 or 2; None where nothing moved."""
    return parameters.get("motion", {}).get("phase_encode_axis")


def draw(preset: Severity, code: str, clean: Volume, generator: np.random.Generator) -> dict:
    """Draw the parameters of every effect in `code` from the ranges of `preset`; see each effect's `draw`."""
    return {name: DEGRADATIONS[name].draw(getattr(preset, name), clean, generator) for name in effects(code)}


def apply(clean: Volume, parameters: dict, acquired_mm: int | None = None) -> Volume:
    """Degrade a clean volume, [0, 1], with what `draw` returned; an effect that is not in it does not happen.

    The acquisition has voxels of its own grid, or of the standard grid of `acquired_mm`: see `grid.acquired_mm`.

    The magnitude image lies on the same grid, float32, in whole steps of the storage format, so that the volume in
    memory and its file are equal. Bright tissue under a bright coil may exceed 1.
    """
    if parameters == {}:
        return clean
    head = clean if acquired_mm is None else resample_unit(clean, standard_grid(acquired_mm))
    return resample_unit(magnitude(head, acquire(head, parameters)), clean.grid)


def acquire(clean: Volume, parameters: dict) -> np.ndarray:
    """Return the image before its magnitude is taken, real or complex, shape (X, Y, Z); parameters as of `apply`."""
    coil = bias_field.field(clean.data.shape, parameters["bias"]) if "bias" in parameters else 1.0
    image = motion.apply(clean, coil, parameters["motion"]) if "motion" in parameters else coil * clean.data
    return rician_noise.apply(image, parameters["noise"]) if "noise" in parameters else image


def magnitude(clean: Volume, image: np.ndarray) -> Volume:
    """Return the magnitude of an image on the grid of `clean`, in whole steps of the storage format."""
    return clean.with_data(np.rint(np.abs(image) / UNIT_STEP) * UNIT_STEP)
