"""The sections of params.yaml: every key, its type and its range."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bmenet.config.base import (
    PLANES,
    CodeWeights,
    Count,
    CountOrZero,
    NonNegative,
    Odd,
    Plane,
    Positive,
    PositiveRange,
    Section,
    SomeDistinct,
)
from bmenet.config.data import DataConfig, SplitConfig
from bmenet.config.degradation import DegradationConfig, OnlineConfig
from bmenet.config.evaluate import CLEAN_CODE, EvaluateConfig, ExportConfig, PublishConfig
from bmenet.config.fine import (
    AutoencoderConfig,
    CovariatesConfig,
    DenoiserConfig,
    DiffusionConfig,
    EdgeAutoencoderConfig,
    FineConfig,
    SamplingConfig,
    StepsConfig,
    TrainingConfig,
)
from bmenet.config.tune import TuneConfig


class GridConfig(Section):
    """The standard grid."""

    spacing_mm: Literal[1, 2, 4]


class RegistrationConfig(Section):
    """Rigid alignment to the standard grid."""

    backend: Literal["ants", "flirt"]
    estimate_spacing_mm: Literal[1, 2, 4]
    min_similarity: Annotated[float, Field(ge=-1, le=1)]


class IntensityConfig(Section):
    """How a clean volume goes to [0, 1]."""

    percentile: Annotated[float, Field(gt=50, le=100)]


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
    depths: Annotated[list[Count], Field(min_length=1)]
    heads: Count
    window: Count
    mlp_ratio: Positive

    @model_validator(mode="after")
    def _even_heads(self) -> "SwinirConfig":
        if self.embed % self.heads:
            raise ValueError(f"embed: expected a multiple of heads ({self.heads}); got {self.embed}")
        return self


class AugmentConfig(Section):
    """Random changes of a training crop's intensities."""

    gain: PositiveRange
    gamma: PositiveRange


CropExtent = Annotated[int, Field(ge=8)]
"""Voxels along an edge of a training crop; the loss compares structure in windows of 8."""


class CoarseConfig(Section):
    """Coarse-net: architecture, loss and training."""

    arch: Literal["unet", "swinir"]
    unet: UnetConfig
    swinir: SwinirConfig
    context_slices: Odd
    planes: SomeDistinct[Plane]
    phase_encode_first: bool = False
    pixel_loss: Literal["mse", "l1", "log_mse"]
    pixel_weight: NonNegative
    ssim_weight: NonNegative
    edge_weight: NonNegative
    crop: tuple[CropExtent, CropExtent]
    batch_size: Count
    steps: Count
    learning_rate: Positive
    warmup_steps: CountOrZero
    weight_decay: NonNegative
    gradient_clip: Positive
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    precision: Literal["auto", "fp32", "bf16"]
    degradations: Literal["precomputed", "online", "mixed"]
    online: OnlineConfig | None = None
    start_from: str | None = None
    code_weights: CodeWeights
    augment: AugmentConfig
    workers: CountOrZero
    validate_every: Count
    validation_volumes: Count
    patience: Count
    checkpoint_every: Count

    @model_validator(mode="after")
    def _consistent(self) -> "CoarseConfig":
        if self.degradations != "precomputed" and self.online is None:
            raise ValueError(f"online: expected a section, for degradations are {self.degradations}; got none")
        if self.phase_encode_first and len(self.planes) < len(PLANES):
            raise ValueError(f"planes: expected all of {', '.join(PLANES)} with phase_encode_first; got {self.planes}")
        return self


class FieldConfig(StepsConfig):
    """The field network: widths of its levels, residual units of each."""

    channels: Annotated[list[Annotated[int, Field(ge=4, multiple_of=4)]], Field(min_length=2, max_length=4)]
    res_units: CountOrZero


class TrackingConfig(Section):
    """MLflow; the server's address is a matter of place and comes from MLFLOW_TRACKING_URI."""

    experiment: Annotated[str, Field(min_length=1)]
    log_every: Count


class Config(Section):
    """All of params.yaml."""

    profile: str
    seed: CountOrZero
    grid: GridConfig
    data: DataConfig
    registration: RegistrationConfig
    intensity: IntensityConfig
    split: SplitConfig
    degradation: DegradationConfig
    field: FieldConfig
    coarse: CoarseConfig
    training: TrainingConfig
    autoencoder: AutoencoderConfig
    edge_autoencoder: EdgeAutoencoderConfig
    diffusion: DiffusionConfig
    denoiser: DenoiserConfig
    covariates: CovariatesConfig
    fine: FineConfig
    sampling: SamplingConfig
    evaluate: EvaluateConfig
    export: ExportConfig
    publish: PublishConfig
    tune: TuneConfig
    tracking: TrackingConfig

    @model_validator(mode="after")
    def _sections_agree(self) -> "Config":
        names = [source.name for source in self.data.sources]
        if unknown := [name for name in self.split.leave_out if name not in names]:
            raise ValueError(
                f"split.leave_out: expected names of data sets in data.sources ({', '.join(names)}); got {unknown}"
            )
        for name in ("evaluate", "publish", "tune"):
            if missing := sorted(set(getattr(self, name).codes) - {CLEAN_CODE, *self.degradation.codes}):
                raise ValueError(f"{name}.codes: expected 000 or codes of degradation.codes; got {missing} too")
        timesteps, trained, sampling = self.diffusion.timesteps, self.fine.max_timestep, self.sampling
        if trained >= timesteps:
            raise ValueError(f"fine.max_timestep: expected less than diffusion.timesteps ({timesteps}); got {trained}")
        if sampling.start == "noise" and trained < timesteps - 1:
            raise ValueError(
                f"sampling.start: expected 'reference', or fine.max_timestep {timesteps - 1}, so that the ControlNet"
                f" knows pure noise; got 'noise' with {trained}"
            )
        if sampling.start == "reference" and sampling.start_timestep > trained:
            raise ValueError(
                f"sampling.start_timestep: expected at most fine.max_timestep ({trained}), the last timestep that is"
                f" trained; got {sampling.start_timestep}"
            )
        below = sampling.start_timestep + 1 if sampling.start == "reference" else timesteps
        if sampling.steps > below:
            raise ValueError(f"sampling.steps: expected at most {below}, one for each timestep; got {sampling.steps}")
        if sampling.guidance.start > timesteps:
            raise ValueError(
                f"sampling.guidance.start: expected at most diffusion.timesteps ({timesteps}); got"
                f" {sampling.guidance.start}"
            )
        return self
