"""Do the graphs say what torch says? Measured on a head, graph by graph and from end to end."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor

from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume
from bmenet.networks.slab import PLANE_AXES, input_channels
from bmenet.restoration.bundle import Bundle
from bmenet.restoration.bundle.manifest import FineSettings, Precision
from bmenet.restoration.enhancer import Enhancer
from bmenet.restoration.fine_networks import FineNetworks
from bmenet.restoration.latent import edge_map
from bmenet.restoration.torch_networks import TorchNetworks
from bmenet.runtime.seeding import generator

TOLERANCES: dict[Precision, dict[str, float]] = {
    "fp32": {"graph": 1e-4, "guidance": 1e-3, "end to end": 1e-3},
    "fp16": {"graph": 1e-2, "guidance": 1e-3, "end to end": 1e-2},
}
"""Largest difference over the largest value of torch in float32; end to end, over the brightest voxel."""

_NOISE = 0.04
_TIMESTEP = 100
_ODD_BATCH = 3


@dataclass(frozen=True)
class Parity:
    """One comparison of ONNX Runtime with torch in float32.

    Parameters
    ----------
    graph : str
        Its name, or ``coarse, end to end``, ``fine, end to end``.
    precision : {"fp32", "fp16"}
    error : float
        Largest difference over torch's largest value.
    mean_error : float
        Mean difference over torch's largest value.
    tolerance : float
    torch_seconds, onnx_seconds : float
        Of the first call here; graphs are loaded before.
    """

    graph: str
    precision: Precision
    error: float
    mean_error: float
    tolerance: float
    torch_seconds: float
    onnx_seconds: float

    @property
    def is_kept(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.error <= self.tolerance


def measure_parity(
    bundle: Bundle, precisions: list[Precision], tell: Callable[[str], None] = lambda _: None
) -> list[Parity]:
    """Compare every graph of a bundle, and both stages from end to end, with torch on the CPU.

    The head is the MNI152 template with noise, so that no data are needed.

    Parameters
    ----------
    bundle : Bundle
    precisions : list
        Number formats of the graphs to compare.
    tell : callable, optional
        Told the name of each comparison before it is made.
    """
    head = noisy_head(bundle)
    exact = _exact(bundle)
    stage: Literal["coarse", "fine"] = "fine" if bundle.has_fine else "coarse"
    others = {
        precision: Enhancer.from_bundle(bundle, stage, "onnx", "cpu", precision=precision) for precision in precisions
    }
    found = []
    for graph, run in _comparisons(bundle.manifest.fine, exact, head):
        expected, torch_seconds = run(exact)
        for precision, other in others.items():
            tell(f"{graph} {precision}")
            got, onnx_seconds = run(other)
            largest = float(np.abs(expected).max()) or 1.0
            differences = np.abs(got.astype(np.float64) - expected)
            kind = "end to end" if graph.endswith("end to end") else graph if graph == "guidance" else "graph"
            found.append(
                Parity(
                    graph,
                    precision,
                    float(differences.max()) / largest,
                    float(differences.mean()) / largest,
                    TOLERANCES[precision][kind],
                    torch_seconds,
                    onnx_seconds,
                )
            )
    return sorted(found, key=lambda row: precisions.index(row.precision))


Run = Callable[[Enhancer], tuple[np.ndarray, float]]


def _comparisons(fine: FineSettings | None, exact: Enhancer, head: Volume) -> Iterator[tuple[str, Run]]:
    """Yield what is compared and how it is computed by either runtime; inputs are what torch made of the head."""
    for plane in exact.config.planes:
        yield f"coarse, {plane}", partial(_run_slab, _slab(head, plane, input_channels(exact.config.context_slices)))
    yield "coarse, end to end", lambda enhancer: _timed(lambda: replace(enhancer, fine=None).restore(head).data)
    if fine is None or exact.fine is None:
        return
    coarse = replace(exact, fine=None).restore(head)
    reference = torch.from_numpy(coarse.data)[None, None]
    networks = exact.fine.networks
    latent, edges = networks.encode(reference), edge_map(reference)
    covariates, hint = networks.covariates(reference), torch.cat([latent, networks.encode_edges(edges)], dim=1)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0))
    timestep = torch.tensor([min(_TIMESTEP, fine.max_timestep)])
    noisy = NoiseSchedule(fine.diffusion).add_noise(latent, noise, timestep)
    moved = latent + 0.1 * noise
    gain, window = fine.sampling.strength, fine.sampling.guidance.window
    base = reference - gain * networks.decode(latent)

    def joined(net: FineNetworks) -> Tensor:
        return torch.cat([tensor for tensor in net.noises(noisy, timestep, covariates, hint) if tensor is not None])

    parts: dict[str, Callable[[FineNetworks], Tensor]] = {
        "encoder": lambda net: net.encode(reference),
        "edge_encoder": lambda net: net.encode_edges(edges),
        "covariates": lambda net: net.covariates(reference),
        "denoiser": joined,
        "decoder": lambda net: net.decode(latent),
        "guidance": lambda net: net.ncc_gradient(moved, base, gain, reference, window),
    }
    for name, part in parts.items():
        yield name, partial(_run_part, part)
    once = fine.sampling.model_copy(update={"samples": 1})
    yield "fine, end to end", lambda enhancer: _timed(lambda: enhancer.fine.restore(coarse.data, once, 0).data)  # type: ignore[union-attr]


def _slab(head: Volume, plane: str, channels: int) -> Tensor:
    """Return a batch of slabs from the middle of a head; their content is no position, which does not matter here."""
    slices = torch.from_numpy(head.data).movedim(PLANE_AXES[plane], 0)
    count = min(_ODD_BATCH, len(slices) // channels)
    first = (len(slices) - count * channels) // 2
    return slices[first : first + count * channels].reshape(count, channels, *slices.shape[1:]).contiguous()


def _run_slab(slab: Tensor, enhancer: Enhancer) -> tuple[np.ndarray, float]:
    """Restore slices with an enhancer's Coarse-net."""
    return _timed(lambda: enhancer.network(slab))


def _run_part(part: Callable[[FineNetworks], Tensor], enhancer: Enhancer) -> tuple[np.ndarray, float]:
    """Compute a part of the second stage with an enhancer's networks."""
    assert enhancer.fine is not None
    networks = enhancer.fine.networks
    return _timed(lambda: part(networks))


def _timed(compute: Callable[[], Tensor | np.ndarray]) -> tuple[np.ndarray, float]:
    """Return a result as an array, and the seconds it took."""
    start = time.perf_counter()
    with torch.no_grad():
        result = compute()
    seconds = time.perf_counter() - start
    return (result.detach().numpy() if isinstance(result, Tensor) else result), seconds


def _exact(bundle: Bundle) -> Enhancer:
    """Return torch's enhancer in float32 throughout."""
    enhancer = Enhancer.from_bundle(bundle, device="cpu")
    enhancer = replace(enhancer, config=enhancer.config.model_copy(update={"precision": "fp32"}))
    if bundle.manifest.fine is None:
        return enhancer
    fine = enhancer.with_fine(bundle.weights, bundle.manifest.fine.sampling)
    assert fine.fine is not None
    networks = replace(cast(TorchNetworks, fine.fine.networks), dtype=torch.float32)
    return replace(fine, fine=replace(fine.fine, networks=networks))


def noisy_head(bundle: Bundle) -> Volume:
    """Return the template on the bundle's grid, with noise in it."""
    head = load_template(standard_grid(bundle.manifest.spacing_mm))
    noise = generator(0, "parity").normal(scale=_NOISE, size=head.data.shape)
    return head.with_data(np.where(head.data > 0, np.abs(head.data + noise), 0).astype(np.float32))
