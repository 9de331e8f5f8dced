"""The sections of params.yaml: every key, its type and its range."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bmenet.config.base import Code, Count, NonNegative, Plane, Positive, Range, Section
from bmenet.config.fine import (
    AutoencoderConfig,
    CovariatesConfig,
    DiffusionConfig,
    EdgeAutoencoderConfig,
    FineConfig,
    PriorConfig,
    SamplingConfig,
    TrainingConfig,
)


class GridConfig(Section):
    """The standard grid."""

    spacing_mm: Literal[1, 2, 4]


class SampleConfig(Section):
    """Pseudo-subjects bent from the MNI152 template."""

    subjects: Count
    deformation_mm: NonNegative


class DataConfig(Section):
    """Where subjects come from."""

    source: Literal["sample", "openneuro", "bids", "folder"]
    root: str | None = None
    mirror: str | None = None
    covariates: str | None = None
    subjects: Count | list[str] | None = None
    sample: SampleConfig


class RegistrationConfig(Section):
    """Rigid alignment to the standard grid."""

    backend: Literal["ants", "flirt"]
    estimate_spacing_mm: Literal[1, 2, 4]
    min_similarity: Annotated[float, Field(ge=-1, le=1)]


class IntensityConfig(Section):
    """How a clean volume goes to [0, 1]."""

    percentile: Annotated[float, Field(gt=50, le=100)]


class SplitConfig(Section):
    """Subjects per subset, as counts or as fractions (sum at most 1) of all; what is left over goes to train."""

    train: NonNegative
    validation: NonNegative
    test: NonNegative

    @property
    def are_fractions(self) -> bool:
        """Whether the three numbers are shares of all subjects rather than counts."""
        return self.train + self.validation + self.test <= 1 + 1e-9

    @model_validator(mode="after")
    def _counts_or_fractions(self) -> "SplitConfig":
        numbers = (self.train, self.validation, self.test)
        if not self.are_fractions and not all(number.is_integer() for number in numbers):
            raise ValueError(f"expected three whole numbers, or three fractions with a sum of at most 1; got {numbers}")
        return self


class MotionConfig(Section):
    """A piecewise rigid head trajectory over the phase-encode lines."""

    max_rotation_deg: NonNegative
    max_translation_mm: NonNegative
    moves: Range
    protected_centre_fraction: Annotated[float, Field(ge=0, lt=0.5)]


class NoiseConfig(Section):
    """Complex Gaussian noise; magnitude is taken, so the result is Rician."""

    sigma: Range


class BiasConfig(Section):
    """A smooth multiplicative field, exp of a Legendre polynomial."""

    ratio: Range
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
    codes: list[Code]
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
        if "000" in self.codes or len(set(self.codes)) != len(self.codes) or not self.codes:
            raise ValueError(f"codes: expected distinct non-zero codes such as '111'; got {self.codes}")
        return self


class UnetConfig(Section):
    """The light 2.5D residual U-Net."""

    channels: Annotated[int, Field(ge=8, multiple_of=8)]
    levels: Annotated[int, Field(ge=2, le=6)]
    blocks: Count
    unshuffle: Literal[1, 2, 4]


class SwinirConfig(Section):
    """SwinIR as published: see DESIGN of the method, stage 1."""

    unshuffle: Literal[1, 2, 4, 8]
    embed: Count
    depths: list[Count]
    heads: Count
    window: Count
    mlp_ratio: Positive


class AugmentConfig(Section):
    """Random changes of a training crop's intensities."""

    gain: Range
    gamma: Range


class CoarseConfig(Section):
    """Coarse-net: architecture, loss and training."""

    arch: Literal["unet", "swinir"]
    unet: UnetConfig
    swinir: SwinirConfig
    context_slices: Annotated[int, Field(ge=1)]
    planes: list[Plane]
    pixel_loss: Literal["mse", "l1"]
    pixel_weight: NonNegative
    ssim_weight: NonNegative
    edge_weight: NonNegative
    crop: tuple[Count, Count]
    batch_size: Count
    steps: Count
    learning_rate: Positive
    warmup_steps: Annotated[int, Field(ge=0)]
    weight_decay: NonNegative
    gradient_clip: Positive
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    precision: Literal["auto", "fp32", "bf16"]
    degradations: Literal["precomputed", "online"]
    code_weights: dict[Code, NonNegative]
    augment: AugmentConfig
    workers: Annotated[int, Field(ge=0)]
    validate_every: Count
    validation_volumes: Count
    patience: Count
    checkpoint_every: Count

    @model_validator(mode="after")
    def _consistent(self) -> "CoarseConfig":
        if self.context_slices % 2 == 0:
            raise ValueError(f"context_slices: expected an odd number; got {self.context_slices}")
        if not self.planes or len(set(self.planes)) != len(self.planes):
            raise ValueError(f"planes: expected one to three distinct planes; got {self.planes}")
        if not any(self.code_weights.values()):
            raise ValueError("code_weights: expected at least one weight above zero; got none")
        return self


class EvaluateConfig(Section):
    """What is measured, against which baselines."""

    codes: list[Code]
    baselines: list[Literal["n4", "n4_nlm", "n4_bm4d"]]
    fine: list[Literal["fine", "fine_decode", "fine_no_edges", "fine_no_constraint"]]
    fine_codes: list[Code]
    bootstrap: Annotated[int, Field(ge=100)]


class TrackingConfig(Section):
    """MLflow; the server's address is a matter of place and comes from MLFLOW_TRACKING_URI."""

    experiment: Annotated[str, Field(min_length=1)]
    log_every: Count


class Config(Section):
    """All of params.yaml."""

    profile: str
    seed: Annotated[int, Field(ge=0)]
    grid: GridConfig
    data: DataConfig
    registration: RegistrationConfig
    intensity: IntensityConfig
    split: SplitConfig
    degradation: DegradationConfig
    coarse: CoarseConfig
    training: TrainingConfig
    autoencoder: AutoencoderConfig
    edge_autoencoder: EdgeAutoencoderConfig
    diffusion: DiffusionConfig
    prior: PriorConfig
    covariates: CovariatesConfig
    fine: FineConfig
    sampling: SamplingConfig
    evaluate: EvaluateConfig
    tracking: TrackingConfig
