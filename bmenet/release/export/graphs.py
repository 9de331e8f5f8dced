"""The graphs of a bundle, with their inputs and outputs."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from bmenet.config import CoarseConfig
from bmenet.imaging.grid import Grid, standard_grid
from bmenet.imaging.homogeneity import FIELD_SPACING_MM
from bmenet.networks.covariate_encoder import COVARIATES
from bmenet.networks.slab import PLANE_AXES, input_channels
from bmenet.release.export.rewrite import guidance_graph, use_axis_norms, use_fixed_gaussians
from bmenet.restoration.torch_networks import TorchNetworks
from bmenet.runtime.errors import ConfigError

_TRACED_BATCH = 2
"""Of slices; a batch of one would be taken for a constant."""


@dataclass(frozen=True)
class GraphPlan:
    """A graph to be written.

    `inputs` are name to an example, whose content does not matter; `dynamic` is an input's name to axis to the name of
    a free extent.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: list[str]
    dynamic: dict[str, dict[int, Any]] = field(default_factory=dict)


def field_graphs(network: nn.Module) -> dict[str, GraphPlan]:
    """Return the field network's graph; its shape is fixed. Group norms and Gaussians of `network` are replaced."""
    use_axis_norms(network)
    use_fixed_gaussians(network)
    head = torch.zeros(1, 1, *standard_grid(FIELD_SPACING_MM).shape)
    return {"field": GraphPlan(network, {"head": head}, ["log_field"])}


def coarse_graphs(network: nn.Module, config: CoarseConfig, grid: Grid) -> dict[str, GraphPlan]:
    """Return the Coarse-net's graph, or one a plane where slices of all shapes do not fit one graph; batches are free.

    The transformer's windows depend on the shape of the slice; the U-Net's layers do not.
    """
    batch, channels = Dim("batch"), input_channels(config.context_slices)

    def plan(shape: tuple[int, ...], free: dict[int, Any]) -> GraphPlan:
        example = torch.zeros(_TRACED_BATCH, channels, *shape)
        return GraphPlan(network, {"slab": example}, ["restored"], {"slab": {0: batch, **free}})

    shapes = {
        plane: tuple(extent for axis, extent in enumerate(grid.shape) if axis != normal)
        for plane, normal in PLANE_AXES.items()
        if plane in config.planes
    }
    multiple = getattr(network, "multiple", 1)
    is_whole = all(extent % multiple == 0 for shape in shapes.values() for extent in shape)
    if config.arch == "unet" and is_whole and len(set(shapes.values())) > 1:
        height, width = (multiple * Dim(name) for name in ("height", "width"))
        return {"coarse": plan(shapes[config.planes[0]], {2: height, 3: width})}
    if config.phase_encode_first:
        raise ConfigError(
            f"coarse.phase_encode_first: expected slices of any shape in one graph, of a U-Net whose multiple of"
            f" {multiple} fits the grid {grid.shape}; got others: set it to false and train again"
        )
    return {f"coarse_{plane}": plan(shape, {}) for plane, shape in shapes.items()}


def fine_graphs(networks: TorchNetworks, grid: Grid, window: int) -> dict[str, GraphPlan]:
    """Return the second stage's graphs, those of `SIGNATURES`; every shape is fixed.

    Parameters
    ----------
    networks : TorchNetworks
        In float32; their group norms are replaced.
    grid : Grid
    window : int
        Of the constraint's local NCC, voxels.
    """
    autoencoder, edge_autoencoder, encoder = networks.autoencoder, networks.edge_autoencoder, networks.covariate_encoder
    for network in (autoencoder, edge_autoencoder, encoder, networks.denoiser, networks.control):
        use_axis_norms(network)
    volume = torch.zeros(1, 1, *grid.shape)
    latent = torch.zeros(1, *_latent_shape(networks, volume))
    noisy = {
        "noisy_latent": latent,
        "timestep": torch.zeros(1, dtype=torch.int64),
        "covariates": torch.zeros(1, len(COVARIATES)),
        "hint": torch.cat([latent, latent], dim=1),
    }
    is_anchored = networks.control.reference_variance is not None
    noises = GraphPlan(_Noises(networks, is_anchored), noisy, ["steered", "noise"] if is_anchored else ["steered"])
    # Inputs must be tensors of their own: tracing takes one object given twice for one input.
    guided = {"latent": latent, "base": volume.clone(), "gain": torch.tensor(1.0), "reference": volume}
    guidance = guidance_graph(autoencoder, window, tuple(guided.values()))
    return {
        "encoder": GraphPlan(_Method(autoencoder, "encode"), {"volume": volume}, ["latent"]),
        "edge_encoder": GraphPlan(_Method(edge_autoencoder, "encode"), {"edges": volume}, ["latent"]),
        "covariates": GraphPlan(_Method(encoder, "encode"), {"volume": volume}, ["covariates"]),
        "denoiser": noises,
        "decoder": GraphPlan(_Method(autoencoder, "decode"), {"latent": latent}, ["volume"]),
        "guidance": GraphPlan(guidance, guided, ["gradient"]),
    }


class _Method(nn.Module):
    """A method of a network, float32 out: E, E_edge, D, or the covariate encoder with its block averages."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network, self.name = network, name

    def forward(self, tensor: Tensor) -> Tensor:
        return getattr(self.network, self.name)(tensor).float()


class _Noises(nn.Module):
    """The ControlNet, and the denoiser with it and, where the prediction is anchored, without."""

    def __init__(self, networks: TorchNetworks, is_anchored: bool) -> None:
        super().__init__()
        self.denoiser, self.control, self.is_anchored = networks.denoiser, networks.control, is_anchored

    def forward(self, noisy_latent: Tensor, timestep: Tensor, covariates: Tensor, hint: Tensor) -> tuple[Tensor, ...]:
        control = self.control(noisy_latent, timestep, covariates, hint)
        steered = self.denoiser(noisy_latent, timestep, covariates, control).float()
        if not self.is_anchored:
            return (steered,)
        return steered, self.denoiser(noisy_latent, timestep, covariates).float()


@torch.no_grad()
def _latent_shape(networks: TorchNetworks, volume: Tensor) -> tuple[int, ...]:
    """Return (C, X/d, Y/d, Z/d)."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        return tuple(networks.autoencoder.encode(mode.from_tensor(volume)).shape[1:])
