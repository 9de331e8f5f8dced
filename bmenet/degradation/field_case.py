"""One fresh case for the field network: a head at 4 mm under a strong coil, and the field that is to be found."""

from typing import NamedTuple

import numpy as np

from bmenet.config import BiasConfig, MotionConfig
from bmenet.config.base import CountRange, FractionRange, NonNegativeRange, PositiveRange
from bmenet.config.degradation import ContrastConfig, DeformationConfig
from bmenet.degradation import bias_field, motion
from bmenet.degradation.acquisition import recontrast
from bmenet.degradation.anatomy import add_scalp, bend, smooth_map
from bmenet.degradation.fresh_case import Anatomy
from bmenet.imaging.intensity import blind_scale
from bmenet.imaging.volume import Volume

_MOTION = MotionConfig(
    max_rotation_deg=6.0, max_translation_mm=6.0, moves=CountRange(low=1, high=2), protected_centre_fraction=0.04
)
_CONTRAST = ContrastConfig(chance=1, gamma=PositiveRange(low=0.6, high=1.6), bend=0.3)
_DEFORMATION = DeformationConfig(chance=1, rms_mm=NonNegativeRange(low=0.5, high=4.0), widening=0.5)
_MAX_RATIO = 0.75
_MAX_SIGMA = 0.14
_TISSUE = 0.1
_STRIPPED_CHANCE = 0.4
_RAYLEIGH = np.float32(np.pi / 2)
"""Square of the mean of pure noise, in units of its variance."""


class FieldCase(NamedTuple):
    """What the network sees, the logarithm of the coil, and where it counts; (X, Y, Z)."""

    head: np.ndarray
    log_field: np.ndarray
    brain: np.ndarray
    tissue: np.ndarray


def field_case(anatomy: Anatomy, rng: np.random.Generator) -> FieldCase:
    """Draw a case from a clean head at 4 mm.

    A voxel of 4 mm is the mean of 64 of a degraded scan at 1 mm: of its noise hardly more is left than that magnitudes
    are never negative, which brightens what is dark.
    """

    def takes(chance: float) -> bool:
        return bool(rng.random() < chance)

    clean, brain_mask = anatomy.clean, anatomy.brain_mask
    if takes(0.7):
        clean = recontrast(clean, _CONTRAST, rng)
    brain, head = brain_mask, clean
    if takes(_STRIPPED_CHANCE):
        head = clean.with_data(np.where(brain, clean.data, 0))
    elif anatomy.is_skull_stripped and takes(0.5):
        head, _ = add_scalp(clean, rng)
    if takes(0.15):
        head = bend(head, _DEFORMATION, rng)
    if takes(0.5):
        head, brain = head.with_data(head.data[::-1]), brain[::-1]
    tissue = head.data > _TISSUE
    log_field = _coil(head, rng) if takes(0.9) else np.zeros(head.data.shape, np.float32)
    coil = np.exp(log_field)
    image = motion.apply(head, coil, motion.draw(_MOTION, head, rng)) if takes(0.35) else coil * head.data
    sigma = np.float32(rng.uniform(0, _MAX_SIGMA) if takes(0.7) else rng.uniform(0, 0.01))
    noise = sigma * rng.uniform(0.1, 0.4) * rng.standard_normal(image.shape, dtype=np.float32)
    seen = np.maximum(np.sqrt(np.abs(image) ** 2 + _RAYLEIGH * sigma**2) + noise, 0)
    if takes(0.3):  # stripped, or its background blanked, after the acquisition
        seen = np.where(tissue, seen, 0)
    seen = seen / np.float32(blind_scale(seen, clean.grid.spacing_mm[0]) * rng.uniform(0.85, 1.18))
    return FieldCase(seen, log_field, brain & tissue, tissue)


def _coil(head: Volume, rng: np.random.Generator) -> np.ndarray:
    """Draw the logarithm of a coil: a polynomial, or one whose elements are bright near the skin."""
    order = int(rng.integers(2, 6))
    config = BiasConfig(ratio=FractionRange(low=0.02, high=rng.uniform(0.1, _MAX_RATIO)), order=order)
    drawn = bias_field.log_field(head.data.shape, bias_field.draw(config, head, rng)["coefficients"])
    if rng.random() < 0.3:
        amplitude = rng.uniform(0.05, 0.4)
        drawn = drawn + smooth_map(head.data.shape, -amplitude, amplitude, rng.uniform(12, 20), rng)
    return drawn
