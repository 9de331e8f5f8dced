"""The sections of params.yaml on the second stage: autoencoders, denoiser, covariates, ControlNet, sampling."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bmenet.config.base import CodeWeights, Count, CountOrZero, NonNegative, Odd, Positive, Section, Span


class TrainingConfig(Section):
    """What the trainings of the second stage have in common."""

    warmup_steps: CountOrZero
    weight_decay: NonNegative
    gradient_clip: Positive
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    precision: Literal["auto", "fp32", "bf16"]
    validation_volumes: Count
    patience: Count
    workers: CountOrZero


class StepsConfig(Section):
    """How long one network trains, and how fast."""

    batch_size: Count
    steps: Count
    learning_rate: Positive
    validate_every: Count
    checkpoint_every: Count


class AutoencoderConfig(StepsConfig):
    """The KL autoencoder of clean volumes."""

    unshuffle: Literal[1, 2, 4]
    channels: Annotated[list[Count], Field(min_length=1)]
    res_blocks: Count
    norm: Literal["channel", "group"]
    norm_groups: Count
    latent_channels: Count
    l1_weight: NonNegative
    kl_weight: NonNegative
    gradient_weight: NonNegative
    ssim_weight: NonNegative
    crop: tuple[Count, Count, Count]

    @property
    def downsampling(self) -> int:
        """Voxels along the edge of a latent voxel."""
        return self.unshuffle * 2 ** (len(self.channels) - 1)

    @model_validator(mode="after")
    def _consistent(self) -> "AutoencoderConfig":
        if any(width % self.norm_groups for width in self.channels):
            raise ValueError(
                f"channels: expected multiples of norm_groups ({self.norm_groups}); got {list(self.channels)}"
            )
        if any(extent % self.downsampling for extent in self.crop):
            raise ValueError(
                f"crop: expected multiples of {self.downsampling}, a voxel of the latent; got {list(self.crop)}"
            )
        return self


class EdgeAutoencoderConfig(StepsConfig):
    """The autoencoder of edge maps: the image autoencoder, fine-tuned."""


class DiffusionConfig(Section):
    """The forward process: ``beta`` from start to end, evenly spaced in its square root."""

    timesteps: Annotated[int, Field(ge=10)]
    beta_start: Annotated[float, Field(gt=0, lt=1)]
    beta_end: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _rising(self) -> "DiffusionConfig":
        if self.beta_start >= self.beta_end:
            raise ValueError(f"expected beta_start < beta_end; got {self.beta_start:g} and {self.beta_end:g}")
        return self


class DenoiserConfig(StepsConfig):
    """The denoiser of latents, pretrained on clean volumes; the ControlNet has its shape too."""

    channels: Annotated[list[Count], Field(min_length=1)]
    attention: list[bool]
    head_channels: Count
    res_blocks: Count
    norm: Literal["channel", "group"]
    norm_groups: Count
    crop: tuple[Count, Count, Count] | None

    @model_validator(mode="after")
    def _consistent(self) -> "DenoiserConfig":
        if len(self.attention) != len(self.channels):
            raise ValueError(f"attention: expected one entry a level, {len(self.channels)}; got {len(self.attention)}")
        if not self.attention[-1]:
            raise ValueError("attention: expected true at the coarsest level, whose middle block attends; got false")
        for width, attends in zip(self.channels, self.attention, strict=True):
            if width % self.norm_groups or (attends and width % self.head_channels):
                raise ValueError(
                    f"channels: expected multiples of norm_groups ({self.norm_groups}) and, with attention, of"
                    f" head_channels ({self.head_channels}); got {width}"
                )
        return self


class CovariatesConfig(StepsConfig):
    """The covariate encoder, and the ranges that covariates are scaled from."""

    age_years: Span
    ventricles_ml: Span
    brain_ml: Span
    width: Annotated[float, Field(gt=0, le=1, multiple_of=0.125)]
    supervised_weight: NonNegative
    denoising_weight: NonNegative


class FineConfig(StepsConfig):
    """The ControlNet's training; `anchored`: the reference is a witness of its own: see `CleanPrediction`."""

    edge_weight: NonNegative
    edge_dropout: Annotated[float, Field(ge=0, lt=1)]
    anchored: bool
    channel_weights: Literal["decoder", "equal"]
    max_timestep: Count
    code_weights: CodeWeights


class GuidanceConfig(Section):
    """The progressive constraint: ``scale * (1 - t / start) ** power`` below timestep `start`; scale 0 switches it off.

    The scale is in standard deviations of the latent a step.
    """

    scale: NonNegative
    start: Count
    power: NonNegative
    window: Annotated[Odd, Field(ge=3)]


class SamplingConfig(Section):
    """How the reverse process is run, and how its end becomes an image."""

    solver: Literal["ddim", "dpmsolver++"]
    steps: Count
    start: Literal["noise", "reference"]
    start_timestep: Count
    guidance: GuidanceConfig
    compose: Literal["decode", "residual"]
    strength: Annotated[float, Field(ge=0, le=1)]
    samples: Count
