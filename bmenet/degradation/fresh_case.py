"""One fresh training case: a head that varies, degraded in ways that the presets do not hold."""

from typing import TypeVar

import numpy as np

from bmenet.config import Severity
from bmenet.config.base import Range
from bmenet.config.degradation import VarietyConfig
from bmenet.degradation import acquire, apply, draw, magnitude
from bmenet.degradation.acquisition import ghost, lower_resolution, recontrast, uneven_noise
from bmenet.degradation.anatomy import add_scalp, bend, distance_to
from bmenet.imaging.brain import SHOWN_MARGIN_MM
from bmenet.imaging.volume import Volume

_LOOSEST_STRIPPING_MM = 3.0
_TISSUE = 0.02
_LEAST_PART = 0.2

AnyRange = TypeVar("AnyRange", bound=Range)


def fresh_case(
    clean: Volume, severity: Severity, code: str, variety: VarietyConfig | None, rng: np.random.Generator
) -> tuple[Volume, Volume]:
    """Draw a degraded volume and the clean one that it is to become.

    Parameters
    ----------
    clean : Volume
        A skull-stripped head on the standard grid, unit intensities.
    severity : Severity
        Ranges of the degradation model. With `variety` each case takes a random part of them, so that mild cases are
        as common as severe ones; without, it is the degradation model and nothing else.
    code : str
        Of the effects, such as ``111``; under ``000`` both volumes are equal.

    Returns
    -------
    degraded, target : Volume
        Unit intensities; the target has the anatomy, contrast and resolution that were drawn.
    """
    if variety is None:
        return apply(clean, draw(severity, code, clean, rng)), clean

    def takes(chance: float) -> bool:
        return bool(rng.random() < chance)

    if takes(variety.deformation.chance):
        clean = bend(clean, variety.deformation, rng)
    if takes(variety.contrast.chance):
        clean = recontrast(clean, variety.contrast, rng)
    blur = np.zeros(3)
    if takes(variety.resolution.chance):
        clean, blur = lower_resolution(clean, variety.resolution, rng)
    head, shown = clean, None
    if takes(variety.scalp.chance):
        head, distance_mm = add_scalp(clean, rng)
        shown = distance_mm <= SHOWN_MARGIN_MM
    elif takes(variety.stripping.chance):
        distance_mm = distance_to(clean.data > _TISSUE, clean.grid.spacing_mm[0])
        shown = distance_mm <= rng.uniform(0, _LOOSEST_STRIPPING_MM)
    degraded = _degrade(head, part_of(severity, rng), code, variety, blur, rng)
    if shown is None:
        return degraded, head
    return degraded.with_data(np.where(shown, degraded.data, 0)), head.with_data(np.where(shown, head.data, 0))


def _degrade(
    head: Volume, severity: Severity, code: str, variety: VarietyConfig, blur: np.ndarray, rng: np.random.Generator
) -> Volume:
    """Degrade a head; ghosts come with motion, and noise may be uneven."""
    parameters = draw(severity, code, head, rng)
    if not parameters:
        return head
    sigma = 0.0
    if "noise" in parameters and rng.random() < variety.uneven_noise.chance:
        sigma = parameters.pop("noise")["sigma"]
    image = acquire(head, parameters)
    if "motion" in parameters and rng.random() < variety.ghosting.chance:
        image = ghost(image, variety.ghosting, rng)
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
