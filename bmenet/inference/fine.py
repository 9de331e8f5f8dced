"""The second stage: from the coarse result to the enhanced volume."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bmenet.brain import background_mask
from bmenet.config import DiffusionConfig, GuidanceConfig, SamplingConfig
from bmenet.diffusion.guidance import ProgressiveConstraint
from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.diffusion.prediction import CleanPrediction
from bmenet.diffusion.sampling import sample_latent, start_latent
from bmenet.diffusion.solvers import SOLVERS
from bmenet.errors import ConfigError, WeightsError
from bmenet.files import sha256
from bmenet.grid import FIELD_OF_VIEW_MM
from bmenet.inference.latent import decode_volume, decode_with_gradient, edge_map, encode_volume
from bmenet.intensity import blind_scale
from bmenet.models.autocast import autocast
from bmenet.models.autoencoder import LatentAutoencoder
from bmenet.models.control import HintControl
from bmenet.models.covariate_encoder import CovariateEncoder
from bmenet.models.denoiser import Denoiser, Residuals
from bmenet.models.fine_weights import KINDS, load_fine
from bmenet.models.memory import lay_channels_last
from bmenet.models.precision import fastest_dtype
from bmenet.models.weights import SPEC_FILE, Spec
from bmenet.seeding import derive_seed

DEFAULT_SAMPLING = SamplingConfig(
    solver="dpmsolver++",
    steps=1,
    start="reference",
    start_timestep=300,
    guidance=GuidanceConfig(scale=0.02, start=400, power=1.0, window=9),
    compose="residual",
    strength=0.75,
    samples=1,
)
"""What is done where no params.yaml says otherwise."""


@dataclass(frozen=True)
class FineResult:
    """Enhanced volume, and how far the samples lie apart.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z), float32
        Mean over samples.
    std : ndarray, shape (X, Y, Z), float32, or None
        Standard deviation over samples, where there were several.
    """

    data: np.ndarray
    std: np.ndarray | None


@dataclass(frozen=True)
class FineNet:
    """The networks of the second stage, frozen, and the noise schedule they were trained with.

    Parameters
    ----------
    autoencoder, edge_autoencoder : LatentAutoencoder
    covariate_encoder : CovariateEncoder
    denoiser : Denoiser
    control : HintControl
    schedule : NoiseSchedule
    max_timestep : int
        The highest one that the control was trained for.
    spacing_mm : int
        Of the standard grid that the networks were trained on.
    has_edge_hint : bool
        Without it the control is not shown the edges: an ablation.
    """

    autoencoder: LatentAutoencoder
    edge_autoencoder: LatentAutoencoder
    covariate_encoder: CovariateEncoder
    denoiser: Denoiser
    control: HintControl
    schedule: NoiseSchedule
    max_timestep: int
    spacing_mm: int
    has_edge_hint: bool = True

    @classmethod
    def from_folder(cls, bundle: Path | str, device: torch.device | str = "cpu") -> "FineNet":
        """Load the networks from the folders ``autoencoder``, ``edge_autoencoder``, ... of a bundle.

        Raises
        ------
        WeightsError
            If a network is missing or damaged, or two of them do not belong together.
        """
        networks: dict[str, nn.Module] = {}
        specs: dict[str, Spec] = {}
        for kind in KINDS:
            network, specs[kind] = load_fine(Path(bundle) / kind, kind)
            networks[kind] = lay_channels_last(network.to(device)).requires_grad_(False)
        _require_family(Path(bundle), specs)
        schedule = NoiseSchedule(DiffusionConfig.model_validate(specs["prior"]["diffusion"]))
        return cls(
            networks["autoencoder"],  # type: ignore[arg-type]
            networks["edge_autoencoder"],  # type: ignore[arg-type]
            networks["covariates"],  # type: ignore[arg-type]
            networks["prior"],  # type: ignore[arg-type]
            networks["fine"],  # type: ignore[arg-type]
            schedule,
            int(specs["fine"]["max_timestep"]),
            int(specs["fine"]["spacing_mm"]),
        )

    def check(self, sampling: SamplingConfig) -> None:
        """Raise ConfigError if `sampling` asks for timesteps that the networks were not trained for."""
        first = sampling.start_timestep if sampling.start == "reference" else self.schedule.timesteps - 1
        if first > self.max_timestep:
            raise ConfigError(
                f"sampling.start_timestep: expected at most {self.max_timestep}, which the ControlNet was trained for"
                f" (fine.max_timestep); got {first} (start: {sampling.start})"
            )
        if sampling.steps > first + 1:
            raise ConfigError(
                f"sampling.steps: expected at most {first + 1}, one for each timestep from {first} down;"
                f" got {sampling.steps}"
            )

    def without_edge_hint(self) -> "FineNet":
        """Return the same networks, the control blind to edges."""
        return replace(self, has_edge_hint=False)

    def restore(
        self,
        coarse: np.ndarray,
        sampling: SamplingConfig = DEFAULT_SAMPLING,
        seed: int = 0,
        progress: Callable[[float], None] | None = None,
        dtype: torch.dtype | None = None,
    ) -> FineResult:
        """Enhance a coarse result.

        Parameters
        ----------
        coarse : ndarray, shape (X, Y, Z)
            r, on the standard grid, of any intensity scale, skull-stripped.
        sampling : SamplingConfig
        seed : int
            Of the noise; the same seed gives the same volume.
        progress : callable, optional
            Told the fraction done.
        dtype : torch.dtype, optional
            Number format of the networks; by default the device's fastest.

        Returns
        -------
        FineResult
            In the scale of `coarse`; exactly zero in the background.

        Raises
        ------
        ConfigError
            If `sampling` asks for timesteps that the networks were not trained for.
        """
        self.check(sampling)
        scale = np.float32(blind_scale(coarse, FIELD_OF_VIEW_MM[0] / coarse.shape[0]))
        device = next(self.denoiser.parameters()).device
        dtype = dtype or fastest_dtype(device)
        reference = torch.from_numpy(np.ascontiguousarray(coarse / scale, dtype=np.float32))[None, None].to(device)

        reference_latent = encode_volume(self.autoencoder, reference, dtype)
        edge_latent = encode_volume(self.edge_autoencoder, edge_map(reference), dtype)
        hint = torch.cat([reference_latent, edge_latent if self.has_edge_hint else 0 * edge_latent], dim=1)
        with torch.no_grad():
            covariates = self.covariate_encoder.encode(reference)

        prediction = CleanPrediction(self.schedule, self.control.reference_variance)

        def predict_clean(noisy_latent: Tensor, timestep: Tensor) -> Tensor:
            def denoise(control: Residuals | None) -> Tensor:
                return self.denoiser(noisy_latent, timestep, covariates, control)

            with autocast(device, dtype):
                control = self.control(noisy_latent, timestep, covariates, hint)
                return prediction(denoise, control, noisy_latent, timestep, reference_latent)

        base, gain = 0 * reference, 1.0
        if sampling.compose == "residual":
            base = reference - sampling.strength * decode_volume(self.autoencoder, reference_latent, dtype)
            gain = sampling.strength

        def compose(latent: Tensor) -> Tensor:
            return base + gain * decode_with_gradient(self.autoencoder, latent, dtype)

        # Of the composed image: D(z_0) alone would be drawn towards what the autoencoder loses of r.
        constraint = ProgressiveConstraint(sampling.guidance, compose, reference)
        start = sampling.start_timestep if sampling.start == "reference" else None
        images = []
        for number in range(sampling.samples):
            generator = torch.Generator().manual_seed(derive_seed(seed, "sample", number))
            noisy, first = start_latent(self.schedule, reference_latent, start, generator)
            latent = sample_latent(
                predict_clean,
                constraint,
                SOLVERS[sampling.solver](self.schedule),
                noisy,
                self.schedule.descend(first, sampling.steps),
                _share(progress, number, sampling.samples),
            )
            with torch.no_grad():
                images.append(compose(latent)[0, 0].clamp_min(0).cpu().numpy())
        stack = np.stack(images)
        outside = background_mask(coarse / scale)
        data = np.where(outside, 0, stack.mean(axis=0)) * scale
        std = np.where(outside, 0, stack.std(axis=0, ddof=1)) * scale if sampling.samples > 1 else None
        return FineResult(data.astype(np.float32), None if std is None else std.astype(np.float32))


def _share(progress: Callable[[float], None] | None, number: int, samples: int) -> Callable[[float], None] | None:
    """Return the progress of one sample as a part of that of all."""
    return None if progress is None else lambda done: progress((number + done) / samples)


def _require_family(bundle: Path, specs: dict[str, Spec]) -> None:
    """Check that every network was trained with the others that are here, on one grid."""
    for kind, spec in specs.items():
        for parent, expected in spec.get("parents", {}).items():
            if (got := sha256(bundle / parent / SPEC_FILE)) != expected:
                raise WeightsError(
                    f"{bundle / kind}: trained with another {parent} (model.json {expected[:12]}) than the one here"
                    f" ({got[:12]}); train again (`dvc repro train_fine`) or copy weights that belong together"
                )
    spacings = {kind: spec["spacing_mm"] for kind, spec in specs.items()}
    if len(set(spacings.values())) > 1:
        raise WeightsError(f"{bundle}: expected networks of one grid; got spacings in mm {spacings}; train them again")
