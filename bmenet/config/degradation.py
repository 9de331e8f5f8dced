"""The sections of params.yaml on degradation: the model, and what training sees beyond its presets."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bmenet.config.base import (
    Code,
    Count,
    CountRange,
    FractionRange,
    NonNegative,
    NonNegativeRange,
    Positive,
    PositiveRange,
    Section,
    SomeDistinct,
)

Chance = Annotated[float, Field(ge=0, le=1)]


class MotionConfig(Section):
    """A piecewise rigid head trajectory over the phase-encode lines."""

    max_rotation_deg: NonNegative
    max_translation_mm: NonNegative
    moves: CountRange
    protected_centre_fraction: Annotated[float, Field(ge=0, lt=0.5)]


class NoiseConfig(Section):
    """Complex Gaussian noise; magnitude is taken, so the result is Rician."""

    sigma: NonNegativeRange


class BiasConfig(Section):
    """A smooth multiplicative field, exp of a Legendre polynomial."""

    ratio: FractionRange
    order: Annotated[int, Field(ge=1, le=6)]


class Severity(Section):
    """One preset: the ranges that every degradation draws from."""

    motion: MotionConfig
    noise: NoiseConfig
    bias: BiasConfig


class CalibrationConfig(Section):
    """The published degraded level that `moderate` is checked against."""

    psnr_db: float
    tolerance_db: Positive


class DegradationConfig(Section):
    """The degradation model."""

    severity: Literal["mild", "moderate", "severe"]
    codes: SomeDistinct[Code]
    calibration: CalibrationConfig
    presets: dict[Literal["mild", "moderate", "severe"], Severity]

    @property
    def preset(self) -> Severity:
        """The ranges of the chosen severity."""
        return self.presets[self.severity]

    @model_validator(mode="after")
    def _complete(self) -> "DegradationConfig":
        if self.severity not in self.presets:
            raise ValueError(f"expected a preset named {self.severity!r}; got {sorted(self.presets)}")
        if "000" in self.codes:
            raise ValueError(f"codes: expected non-zero codes such as '111'; got {self.codes}")
        return self


class Variation(Section):
    """A change that a fresh case takes by chance."""

    chance: Chance


class DeformationConfig(Variation):
    """Bent brains, with wider or narrower ventricles."""

    rms_mm: NonNegativeRange
    widening: Chance


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

    `scalp`: a stripped brain in the head of another person, or in an invented one.
    `stripping`: brain extraction after the acquisition; the background is zero, whatever was there.
    `resolution`: larger voxels, by a blur or by an acquisition in voxels of twice the edge.
    """

    deformation: DeformationConfig
    contrast: ContrastConfig
    resolution: ResolutionConfig
    scalp: Variation
    ghosting: GhostingConfig
    uneven_noise: UnevenNoiseConfig
    stripping: Variation


class OnlineConfig(Section):
    """Cases degraded anew while training goes on."""

    batches_per_case: Count
    """Every so many batches the oldest case of the pool makes room for a new one."""
    template_chance: Chance
    """How often the MNI152 template takes the place of a subject."""
    severity: Severity | None
    """Ranges to draw from, of which each case takes a random part; None: the whole preset of `degradation.severity`."""
    variety: VarietyConfig | None
