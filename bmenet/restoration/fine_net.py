"""The second stage: from the coarse result to the enhanced volume."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from bmenet.config import DiffusionConfig, GuidanceConfig, SamplingConfig
from bmenet.diffusion.guidance import ProgressiveConstraint
from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.diffusion.prediction import CleanPrediction
from bmenet.diffusion.sampling import SOLVERS, sample_latent, start_latent
from bmenet.imaging.brain import background_mask
from bmenet.imaging.grid import FIELD_OF_VIEW_MM
from bmenet.imaging.intensity import blind_scale
from bmenet.networks.fine_weights import CONTROL, DENOISER, fine_digests
from bmenet.networks.weights import Spec
from bmenet.restoration.torch_networks import edge_map, load_networks
from bmenet.runtime.errors import ConfigError
from bmenet.runtime.seeding import derive_seed

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


class FineNetworks(Protocol):
    """The networks of the second stage, frozen, on one device.

    Tensors are float32 on `device`, with a batch of one: volumes (1, 1, X, Y, Z), latents (1, C, X/d, Y/d, Z/d).
    """

    @property
    def device(self) -> torch.device:
        """Where tensors are expected, and returned."""

    def encode(self, volume: Tensor) -> Tensor:
        """Return E(x)."""

    def encode_edges(self, edges: Tensor) -> Tensor:
        """Return E_edge of an edge map."""

    def covariates(self, volume: Tensor) -> Tensor:
        """Return c, shape (1, 4)."""

    def noises(
        self, noisy_latent: Tensor, timestep: Tensor, covariates: Tensor, hint: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return ``epsilon_h``, steered by the control, and ``epsilon`` without it where the prediction asks for it."""

    def decode(self, latent: Tensor) -> Tensor:
        """Return D(z)."""

    def ncc_gradient(self, latent: Tensor, base: Tensor, gain: float, reference: Tensor, window: int) -> Tensor:
        """Return ``d/dz NCC(base + gain D(z), reference)``, of the shape of the latent."""


class FineResult(NamedTuple):
    """Enhanced volume, shape (X, Y, Z), float32: mean and, of several samples, standard deviation over them."""

    data: np.ndarray
    std: np.ndarray | None


@dataclass(frozen=True)
class FineNet:
    """The second stage: its networks, whoever runs them, and what they were trained with.

    Parameters
    ----------
    reference_variance : sequence of float, (C,), or None
        Of E(r) about E(x), a latent channel: see `CleanPrediction`.
    max_timestep : int
        The highest one that the control was trained for.
    spacing_mm : int
        Of the standard grid that the networks were trained on.
    has_edge_hint : bool
        Without it the control is not shown the edges: an ablation.
    """

    networks: FineNetworks
    schedule: NoiseSchedule
    reference_variance: Sequence[float] | None
    max_timestep: int
    spacing_mm: int
    has_edge_hint: bool = True

    @classmethod
    def from_folder(
        cls, weights: Path | str, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> "FineNet":
        """Load the networks from their folders in `weights`, for torch: see `load_networks`."""
        return cls.of(*load_networks(weights, device, dtype))

    @classmethod
    def of(cls, networks: FineNetworks, specs: Mapping[str, Spec]) -> "FineNet":
        """Return the second stage of networks and of what their specs say, whoever runs them."""
        spec = specs[CONTROL]
        schedule = NoiseSchedule(DiffusionConfig.model_validate(specs[DENOISER]["diffusion"]))
        return cls(networks, schedule, spec["reference_variance"], int(spec["max_timestep"]), int(spec["spacing_mm"]))

    @classmethod
    def load_once(cls, weights: Path | str) -> "FineNet":
        """Load as `from_folder` does, onto the CPU: once a process, and once for each state of the weights."""
        return _load_once(Path(weights), tuple(fine_digests(weights)))

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
    ) -> FineResult:
        """Enhance a coarse result; the background is exactly zero.

        Parameters
        ----------
        coarse : ndarray, shape (X, Y, Z)
            r, on the standard grid, skull-stripped, of any intensity scale, which is kept.
        seed : int
            Of the noise; the same seed gives the same volume.
        progress : callable, optional
            Told the fraction done.

        Raises
        ------
        ConfigError
            If `sampling` asks for timesteps that the networks were not trained for.
        """
        self.check(sampling)
        scale = np.float32(blind_scale(coarse, FIELD_OF_VIEW_MM[0] / coarse.shape[0]))
        networks = self.networks
        reference = torch.from_numpy(np.ascontiguousarray(coarse / scale, dtype=np.float32))[None, None]
        reference = reference.to(networks.device)

        reference_latent = networks.encode(reference)
        edge_latent = networks.encode_edges(edge_map(reference))
        hint = torch.cat([reference_latent, edge_latent if self.has_edge_hint else 0 * edge_latent], dim=1)
        covariates = networks.covariates(reference)
        prediction = CleanPrediction(self.schedule, self.reference_variance)

        def predict_clean(noisy_latent: Tensor, timestep: Tensor) -> Tensor:
            steered, noise = networks.noises(noisy_latent, timestep, covariates, hint)
            return prediction(steered, noise, noisy_latent, timestep, reference_latent)

        base, gain = torch.zeros_like(reference), 1.0
        if sampling.compose == "residual":
            base = reference - sampling.strength * networks.decode(reference_latent)
            gain = sampling.strength

        # Of the composed image: D(z_0) alone would be drawn towards what the autoencoder loses of r.
        constraint = ProgressiveConstraint(
            sampling.guidance,
            lambda latent: networks.ncc_gradient(latent, base, gain, reference, sampling.guidance.window),
        )
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
            images.append((base + gain * networks.decode(latent))[0, 0].clamp_min(0).cpu().numpy())
        stack = np.stack(images)
        outside = background_mask(coarse / scale)

        def scaled(data: np.ndarray) -> np.ndarray:
            return (np.where(outside, 0, data) * scale).astype(np.float32)

        return FineResult(scaled(stack.mean(axis=0)), scaled(stack.std(axis=0, ddof=1)) if len(stack) > 1 else None)


@lru_cache(maxsize=1)
def _load_once(weights: Path, _digests: tuple[str, ...]) -> FineNet:
    return FineNet.from_folder(weights)


def _share(progress: Callable[[float], None] | None, number: int, samples: int) -> Callable[[float], None] | None:
    """Return the progress of one sample as a part of that of all."""
    return None if progress is None else lambda done: progress((number + done) / samples)
