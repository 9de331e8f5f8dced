"""One fresh training case: a head that varies, degraded in ways that the presets do not hold."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from scipy import ndimage

from bmenet.config import Severity
from bmenet.config.base import Range
from bmenet.config.degradation import VarietyConfig
from bmenet.degradation import acquire, apply, draw, magnitude, phase_encode_axis
from bmenet.degradation.acquisition import ghost, lower_resolution, recontrast, uneven_noise
from bmenet.degradation.anatomy import add_scalp, bend, distance_to, set_into
from bmenet.imaging.brain import head_mask
from bmenet.imaging.grid import Grid
from bmenet.imaging.resample import resample, resample_unit
from bmenet.imaging.volume import Volume

_LOOSEST_STRIPPING_MM = 3.0
_TISSUE = 0.02
_HOST_CHANCE = 0.8
_BLANK_CHANCE = 0.2
_LEAST_PART = 0.2

AnyRange = TypeVar("AnyRange", bound=Range)


class FreshCase(NamedTuple):
    """A degraded volume, the clean one that it is to become, and along which axis motion spread; None: there was none.

    Unit intensities; the target has the anatomy, contrast and resolution that were drawn.
    """

    degraded: Volume
    target: Volume
    phase_encode_axis: int | None


@dataclass(frozen=True)
class Anatomy:
    """A clean head on a standard grid, unit intensities, and its brain; a stripped one is zero beyond that."""

    clean: Volume
    brain_mask: np.ndarray
    is_skull_stripped: bool

    def on(self, grid: Grid) -> "Anatomy":
        """Return the head on another standard grid."""
        if self.clean.grid.same_as(grid):
            return self
        brain_mask = resample(self.clean.with_data(self.brain_mask), grid, order=1).data > 0.5
        return Anatomy(resample_unit(self.clean, grid), brain_mask, self.is_skull_stripped)


def fresh_case(
    anatomy: Anatomy,
    severity: Severity,
    code: str,
    variety: VarietyConfig | None,
    rng: np.random.Generator,
    host: Callable[[], Anatomy] | None = None,
) -> FreshCase:
    """Draw a degraded volume and the clean one that it is to become.

    Parameters
    ----------
    anatomy : Anatomy
        Whose head it is.
    severity : Severity
        Ranges of the degradation model. With `variety` each case takes a random part of them, so that mild cases are
        as common as severe ones; without, it is the degradation model and nothing else.
    code : str
        Of the effects, such as ``111``; under ``000`` both volumes are equal.
    host : callable, optional
        Draws a whole head for a skull-stripped brain to be set into; without one, a skull and a scalp are invented.
    """
    clean = anatomy.clean
    if variety is None:
        parameters = draw(severity, code, clean, rng)
        return FreshCase(apply(clean, parameters), clean, phase_encode_axis(parameters))

    def takes(chance: float) -> bool:
        return bool(rng.random() < chance)

    brain_mask, spacing_mm = anatomy.brain_mask, clean.grid.spacing_mm[0]
    if anatomy.is_skull_stripped:
        if takes(variety.deformation.chance):
            clean = bend(clean, variety.deformation, rng)
            brain_mask = clean.data > _TISSUE
        if takes(variety.contrast.chance):
            clean = recontrast(clean, variety.contrast, rng)
        if takes(variety.scalp.chance):
            if host is not None and takes(_HOST_CHANCE):
                other = host()
                clean, brain_mask = set_into(clean, brain_mask, other.clean, other.brain_mask)
            else:
                clean, _ = add_scalp(clean, rng)
    else:
        if takes(variety.contrast.chance):
            clean = recontrast(clean, variety.contrast, rng)
        if takes(variety.stripping.chance / 2):  # stripped before the acquisition, as the degradation model has it
            clean = clean.with_data(np.where(brain_mask, clean.data, 0))
        if takes(variety.deformation.chance / 2):
            clean = bend(clean, variety.deformation, rng)
    blur = np.zeros(3)
    if takes(variety.resolution.chance):
        clean, blur = lower_resolution(clean, variety.resolution, rng)
    parameters = draw(part_of(severity, rng), code, clean, rng)
    axis = phase_encode_axis(parameters)
    degraded = _degrade(clean, parameters, variety, blur, rng)
    if takes(variety.stripping.chance):  # after the acquisition
        shown = distance_to(brain_mask, spacing_mm) <= rng.uniform(0, _LOOSEST_STRIPPING_MM)
    elif takes(_BLANK_CHANCE):  # many scanners, and defacing, leave the air empty
        shown = ndimage.binary_dilation(head_mask(clean.data, spacing_mm), iterations=int(rng.integers(1, 6)))
    else:
        return FreshCase(degraded, clean, axis)
    degraded, clean = (volume.with_data(np.where(shown, volume.data, 0)) for volume in (degraded, clean))
    return FreshCase(degraded, clean, axis)


def _degrade(
    head: Volume, parameters: dict, variety: VarietyConfig, blur: np.ndarray, rng: np.random.Generator
) -> Volume:
    """Degrade a head; ghosts come with motion, and noise may be uneven."""
    if not parameters:
        return head
    sigma = 0.0
    if "noise" in parameters and (blur.any() or rng.random() < variety.uneven_noise.chance):
        sigma = parameters.pop("noise")["sigma"]
    image = acquire(head, parameters)
    if "motion" in parameters and rng.random() < variety.ghosting.chance:
        image = ghost(image, parameters["motion"]["phase_encode_axis"], variety.ghosting, rng)
    if sigma:
        uneven = variety.uneven_noise
        grain = np.maximum(blur, rng.uniform(uneven.blur_voxels.low, uneven.blur_voxels.high, 3))
        image = image + uneven_noise(image.shape, sigma, grain, uneven.spread * rng.random(), rng)
    return magnitude(head, image)


def part_of(severity: Severity, rng: np.random.Generator) -> Severity:
    """Return ranges that end at a random part of those given."""
    motion_part, noise_part, bias_part = rng.uniform(_LEAST_PART, 1, 3)
    motion, noise, bias = severity.motion, severity.noise, severity.bias
    pose = {key: motion_part * getattr(motion, key) for key in ("max_rotation_deg", "max_translation_mm")}
    return Severity(
        motion=motion.model_copy(update=pose),
        noise=noise.model_copy(update={"sigma": _shortened(noise.sigma, noise_part)}),
        bias=bias.model_copy(update={"ratio": _shortened(bias.ratio, bias_part)}),
    )


def _shortened(span: AnyRange, part: float) -> AnyRange:
    """Return a range that ends a part of the way up."""
    return span.model_copy(update={"high": span.low + part * (span.high - span.low)})
