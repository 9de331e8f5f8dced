"""The sections of params.yaml about what training sees beyond the presets."""

from typing import Annotated

from pydantic import Field

from bmenet.config.base import Count, FractionRange, NonNegative, NonNegativeRange, PositiveRange, Section
from bmenet.config.degradation import Severity

Chance = Annotated[float, Field(ge=0, le=1)]


class Variation(Section):
    """A change that a fresh case takes by chance."""

    chance: Chance


class DeformationConfig(Variation):
    """Bent brains, with wider or narrower ventricles."""

    rms_mm: NonNegativeRange
    widening: Annotated[float, Field(ge=0, le=1)]


class ContrastConfig(Variation):
    """A rising curve from 0 to 1: a power, bent at some knots."""

    gamma: PositiveRange
    bend: NonNegative


class ResolutionConfig(Variation):
    """Blur, as of larger voxels."""

    fwhm_mm: NonNegativeRange


class GhostingConfig(Variation):
    """k-space weights that change in a period from line to line."""

    amplitude: FractionRange
    period_lines: PositiveRange


class UnevenNoiseConfig(Variation):
    """Noise with a grain and with a strength that varies over the head."""

    blur_voxels: NonNegativeRange
    spread: NonNegative


class VarietyConfig(Section):
    """How often, and how far, fresh cases differ from what the degradation model makes of the subjects.

    `scalp`: a skull and a scalp that move and ring with the brain, and of which only the innermost is shown.
    `stripping`: brain extraction after the acquisition; the background is zero, whatever was there.
    """

    deformation: DeformationConfig
    contrast: ContrastConfig
    resolution: ResolutionConfig
    scalp: Variation
    ghosting: GhostingConfig
    uneven_noise: UnevenNoiseConfig
    stripping: Variation


class OnlineConfig(Section):
    """Cases degraded anew while training goes on.

    Parameters
    ----------
    batches_per_case : int
        Every so many batches the oldest case of the pool makes room for a new one.
    template_chance : float
        How often the MNI152 template takes the place of a subject.
    severity : Severity, or None
        Ranges to draw from, of which each case takes a random part; None: the preset of `degradation.severity`, whole.
    variety : VarietyConfig, or None
    """

    batches_per_case: Count
    template_chance: Chance
    severity: Severity | None
    variety: VarietyConfig | None
