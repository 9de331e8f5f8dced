"""The sections of params.yaml that make up the degradation model."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bmenet.config.base import (
    Code,
    CountRange,
    FractionRange,
    NonNegative,
    NonNegativeRange,
    Positive,
    Section,
    SomeDistinct,
)


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
