"""The networks as ONNX Runtime runs them, from the graphs of a bundle."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bmenet.config import SamplingConfig
from bmenet.networks.coarse import COARSE, coarse_config
from bmenet.networks.fine_weights import KINDS
from bmenet.restoration.coarse_net import CoarseNet
from bmenet.restoration.fine_net import FineNet
from bmenet.restoration.onnx.session import Sessions
from bmenet.runtime.errors import ConfigError, WeightsError


class OnnxCoarse(nn.Module):
    """The Coarse-net: slabs (B, C, H, W) to restored slices (B, 1, H, W), as of the network it was made from."""

    def __init__(self, sessions: Sessions) -> None:
        super().__init__()
        self.sessions = sessions
        # Its device is where inputs are expected, as of any module.
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)

    def forward(self, slab: Tensor) -> Tensor:
        """Return the restored central slices."""
        return self.sessions.run(self._graph(slab), {"slab": slab})[0]

    def _graph(self, slab: Tensor) -> str:
        """Return the one graph of slices, or the one of this shape of slices."""
        graphs = self.sessions.bundle.manifest.graphs["fp32"]
        if "coarse" in graphs:
            return "coarse"
        shape = list(slab.shape[-2:])
        for name, graph in graphs.items():
            if name.startswith("coarse_") and graph.inputs[0].shape[2:] == shape:
                return name
        raise WeightsError(f"{self.sessions.bundle.folder}: expected a graph for slices of {shape}; got {list(graphs)}")


@dataclass(frozen=True)
class OnnxNetworks:
    """The networks of the second stage: see `FineNetworks`.

    Parameters
    ----------
    window : int
        Of the local NCC that the graph of the constraint was written for.
    """

    sessions: Sessions
    window: int

    @property
    def device(self) -> torch.device:
        """Tensors come and go by the CPU; ONNX Runtime brings them to its device itself."""
        return torch.device("cpu")

    def encode(self, volume: Tensor) -> Tensor:
        """Return E(x)."""
        return self.sessions.run("encoder", {"volume": volume})[0]

    def encode_edges(self, edges: Tensor) -> Tensor:
        """Return E_edge of an edge map."""
        return self.sessions.run("edge_encoder", {"edges": edges})[0]

    def covariates(self, volume: Tensor) -> Tensor:
        """Return c, shape (1, 4)."""
        return self.sessions.run("covariates", {"volume": volume})[0]

    def noises(
        self, noisy_latent: Tensor, timestep: Tensor, covariates: Tensor, hint: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return ``epsilon_h``, and ``epsilon`` where the graph gives it."""
        feed = {"noisy_latent": noisy_latent, "timestep": timestep, "covariates": covariates, "hint": hint}
        steered, *others = self.sessions.run("denoiser", feed)
        return steered, others[0] if others else None

    def decode(self, latent: Tensor) -> Tensor:
        """Return D(z)."""
        return self.sessions.run("decoder", {"latent": latent})[0]

    def ncc_gradient(self, latent: Tensor, base: Tensor, gain: float, reference: Tensor, window: int) -> Tensor:
        """Return ``d/dz NCC(base + gain D(z), reference)``.

        Raises
        ------
        ConfigError
            If the graph was written for another window.
        """
        if window != self.window:
            raise ConfigError(
                f"sampling.guidance.window: expected {self.window}, which the bundle's graph was exported with; got"
                f" {window}; export again, or use the runtime torch"
            )
        feed = {"latent": latent, "base": base, "gain": torch.tensor(gain), "reference": reference}
        return self.sessions.run("guidance", feed)[0]


def onnx_coarse_net(sessions: Sessions) -> CoarseNet:
    """Return the first stage with ONNX Runtime's network."""
    spec = sessions.bundle.spec(COARSE)
    return CoarseNet(OnnxCoarse(sessions), coarse_config(spec), spec["spacing_mm"], torch.float32)


def onnx_fine_net(sessions: Sessions, sampling: SamplingConfig) -> FineNet:
    """Return the second stage with ONNX Runtime's networks."""
    specs = {kind: sessions.bundle.spec(kind) for kind in KINDS}
    return FineNet.of(OnnxNetworks(sessions, sampling.guidance.window), specs)
