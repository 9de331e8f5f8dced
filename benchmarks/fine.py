"""Speed and memory of the second stage: `python -m benchmarks.fine [--profile NAME] [--runs N]`.

Needs no data and no weights: the MNI152 template stands in for a coarse result, untrained networks for trained ones.
"""

import argparse
import resource
from collections.abc import Callable
from dataclasses import replace

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.timing import median_seconds
from bmenet.config import Config, SamplingConfig
from bmenet.config.profiles import load_profile
from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.template import load_template
from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.compute import lay_channels_last
from bmenet.networks.control import HintControl
from bmenet.networks.covariate_encoder import CovariateEncoder
from bmenet.networks.denoiser import Denoiser
from bmenet.restoration.fine_net import FineNet
from bmenet.restoration.torch_networks import TorchNetworks


def main() -> None:
    """Time the parts and the whole, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="full", help="profile to take sizes from")
    parser.add_argument("--runs", type=int, default=3, help="timed runs of each, after one that is not counted")
    arguments = parser.parse_args()
    config = load_profile(arguments.profile)
    net = _untrained(config)
    clean = load_template(standard_grid(config.grid.spacing_mm)).data
    volume = torch.from_numpy(clean)[None, None]
    networks, exact = net.networks, replace(net.networks, dtype=torch.float32)
    latent = networks.encode(volume)
    covariates, timestep, hint = torch.full((1, 4), 0.5), torch.tensor([100]), torch.cat([latent, latent], dim=1)

    def one_sample(steps: int) -> SamplingConfig:
        return config.sampling.model_copy(update={"steps": steps, "samples": 1})

    samples = config.sampling.samples
    guided = sum(t < config.sampling.guidance.start for t in _timesteps(config, net))
    table = Table(
        title=f"{config.grid.spacing_mm} mm, latent {tuple(latent.shape[2:])}, {torch.get_num_threads()} threads"
    )
    for name in ("what", "median s", "times a volume", "float32 s"):
        table.add_column(name, justify="left" if name == "what" else "right")
    rows: list[tuple[str, str, Callable[[], object], Callable[[], object] | None]] = [
        ("encode", "2", lambda: networks.encode(volume), lambda: exact.encode(volume)),
        ("decode", str(1 + samples), lambda: networks.decode(latent), None),
        (
            "denoiser twice and ControlNet, a step",
            str(config.sampling.steps * samples),
            lambda: networks.noises(latent, timestep, covariates, hint),
            None,
        ),
        (
            "constraint, a step",
            str(guided * samples),
            lambda: networks.ncc_gradient(latent, 0 * volume, 1.0, volume, config.sampling.guidance.window),
            None,
        ),
        ("whole second stage", "", lambda: net.restore(clean, config.sampling), None),
        *(
            (f"whole, one sample of {steps} steps", "", lambda steps=steps: net.restore(clean, one_sample(steps)), None)
            for steps in (1, 5, 9)
        ),
    ]
    for name, times, function, base_line in rows:
        base = f"{_median(base_line, arguments.runs):.2f}" if base_line else ""
        table.add_row(name, f"{_median(function, arguments.runs):.2f}", times, base)
    console = Console(width=120)
    console.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    console.print(f"peak memory of the process: {peak:.2f} GiB")


def _untrained(config: Config) -> FineNet:
    """Return networks of the profile's sizes."""
    denoiser = Denoiser(config.denoiser, config.autoencoder.latent_channels)
    variance = [0.03] * config.autoencoder.latent_channels if config.fine.anchored else None
    control = HintControl(config.denoiser, config.autoencoder.latent_channels, variance)
    encoder = CovariateEncoder(4 // config.grid.spacing_mm, config.covariates.width)
    parts = [LatentAutoencoder(config.autoencoder), LatentAutoencoder(config.autoencoder), encoder, denoiser, control]
    for network in parts:
        lay_channels_last(network.eval().requires_grad_(False))
    networks = TorchNetworks(*parts)  # type: ignore[arg-type]
    schedule = NoiseSchedule(config.diffusion)
    return FineNet(networks, schedule, variance, config.fine.max_timestep, config.grid.spacing_mm)


def _timesteps(config: Config, net: FineNet) -> list[int]:
    """Return the timesteps that sampling visits."""
    first = config.sampling.start_timestep if config.sampling.start == "reference" else net.schedule.timesteps - 1
    return net.schedule.descend(first, config.sampling.steps)[:-1]


def _median(function: Callable[[], object], runs: int) -> float:
    """Return the median wall time of `function` after one run that is not counted."""
    function()
    return median_seconds(function, runs)


if __name__ == "__main__":
    main()
