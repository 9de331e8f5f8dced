"""The graphs compared with torch, and rounded weights with trained ones, on a head that needs no data."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from bmenet.evaluation.metrics.fidelity import psnr
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.homogeneity import averaged
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume
from bmenet.networks.slab import PLANE_AXES, input_channels
from bmenet.restoration.bundle import Bundle
from bmenet.restoration.bundle.manifest import Precision
from bmenet.restoration.enhancer import Enhancer
from bmenet.restoration.torch_networks import TorchNetworks, edge_map
from bmenet.runtime.seeding import generator

TOLERANCES: dict[Precision, dict[str, float]] = {
    "fp32": {"graph": 1e-4, "guidance": 1e-3, "end to end": 1e-3},
    "fp16": {"graph": 1e-2, "guidance": 1e-3, "end to end": 1e-2},
}
"""Largest difference over the largest value of torch in float32; end to end, over the brightest voxel."""

MIN_PSNR_DB = 60.0
"""Of rounded about trained weights: a thousandth of the brightest voxel, a thirtieth of the error of the result."""

_NOISE = 0.04
_FIELD = 0.5
_TIMESTEP = 100
_ODD_BATCH = 3

Computation = Callable[[], Tensor | np.ndarray]


@dataclass(frozen=True)
class Parity:
    """One comparison of ONNX Runtime with torch in float32.

    `graph` is its name, or ``coarse, end to end``, ``fine, end to end``. `error` and `mean_error` are the largest and
    the mean difference over torch's largest value, `tolerance` is of the largest. Seconds are of the first call here;
    graphs are loaded before.
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

    The head is the MNI152 template with noise; `tell` is called with the name of each comparison.
    """
    head, exact = noisy_head(bundle), _exact(bundle, bundle.weights)
    given = _fine_inputs(exact, head)
    expected = {graph: _timed(compute) for graph, compute in _computations(exact, head, given)}
    stage: Literal["coarse", "fine"] = "fine" if bundle.has_fine else "coarse"
    rows = []
    for precision in precisions:
        enhancer = Enhancer.from_bundle(bundle, stage, "onnx", "cpu", precision=precision)
        for graph, compute in _computations(enhancer, head, given):
            tell(f"{graph} {precision}")
            reference, torch_seconds = expected[graph]
            got, onnx_seconds = _timed(compute)
            differences, largest = np.abs(got.astype(np.float64) - reference), float(np.abs(reference).max()) or 1.0
            errors = float(differences.max()) / largest, float(differences.mean()) / largest
            kind = "end to end" if graph.endswith("end to end") else graph if graph == "guidance" else "graph"
            rows.append(Parity(graph, precision, *errors, TOLERANCES[precision][kind], torch_seconds, onnx_seconds))
    return rows


def measure_rounding(trained: Path, bundle: Bundle, tell: Callable[[str], None] = lambda _: None) -> dict[str, float]:
    """Return stage to the PSNR in dB, at most 100, of the stored weights' result about that of the trained weights.

    `trained` is the folder of the networks' folders as they were trained, and the bundle has them as they are stored.
    `tell` is called with the name of the weights before they are used.
    """
    head = _degraded_head(bundle)
    tell("with trained weights")
    exact = _restore(_exact(bundle, trained), head)
    tell("with stored weights")
    stored = _restore(_exact(bundle, bundle.weights), head)
    peaks = {stage: exact[stage].max() for stage in exact}
    return {stage: psnr(stored[stage] / peaks[stage], exact[stage] / peaks[stage]) for stage in exact}


def noisy_head(bundle: Bundle) -> Volume:
    """Return the template on the bundle's grid, with noise in it."""
    head = load_template(standard_grid(bundle.manifest.spacing_mm))
    noise = generator(0, "parity").normal(scale=_NOISE, size=head.data.shape)
    return head.with_data(np.where(head.data > 0, np.abs(head.data + noise), 0).astype(np.float32))


def _degraded_head(bundle: Bundle) -> Volume:
    """Return the template under a coil field, with noise everywhere.

    A trained network may leave a head with a clean background and no field as it is, whatever its weights.
    """
    head = load_template(standard_grid(bundle.manifest.spacing_mm))
    field = np.exp(_FIELD * np.linspace(-1, 1, head.data.shape[0]))[:, None, None]
    noise = generator(0, "rounding").normal(scale=_NOISE, size=head.data.shape)
    return head.with_data(np.abs(head.data * field + noise).astype(np.float32))


class _FineInputs(NamedTuple):
    """Inputs of the second stage's graphs, made by torch from the head."""

    reference: Tensor
    edges: Tensor
    latent: Tensor
    noisy: tuple[Tensor, Tensor, Tensor, Tensor]
    guided: tuple[Tensor, Tensor, float, Tensor, int]


def _fine_inputs(exact: Enhancer, head: Volume) -> _FineInputs | None:
    """Return None where there is no second stage."""
    if exact.fine is None:
        return None
    networks, sampling = exact.fine.networks, exact.sampling
    reference = torch.from_numpy(_coarse(exact, head))[None, None]
    latent, edges = networks.encode(reference), edge_map(reference)
    hint = torch.cat([latent, networks.encode_edges(edges)], dim=1)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0))
    timestep = torch.tensor([min(_TIMESTEP, exact.fine.max_timestep)])
    noisy = exact.fine.schedule.add_noise(latent, noise, timestep)
    base = reference - sampling.strength * networks.decode(latent)
    return _FineInputs(
        reference,
        edges,
        latent,
        (noisy, timestep, networks.covariates(reference), hint),
        (latent + 0.1 * noise, base, sampling.strength, reference, sampling.guidance.window),
    )


def _computations(enhancer: Enhancer, head: Volume, given: _FineInputs | None) -> Iterator[tuple[str, Computation]]:
    """Yield the name of each comparison and its computation by one runtime."""
    if enhancer.coarse.field is not None:
        yield "field", partial(enhancer.coarse.field.network, _coarse_head(head))
    for plane in enhancer.coarse.config.planes:
        slab = _slab(head, plane, input_channels(enhancer.coarse.config.context_slices))
        yield f"coarse, {plane}", partial(enhancer.coarse.network, slab)
    yield "coarse, end to end", partial(_coarse, enhancer, head)
    if given is None or enhancer.fine is None:
        return
    networks = enhancer.fine.networks
    yield "encoder", partial(networks.encode, given.reference)
    yield "edge_encoder", partial(networks.encode_edges, given.edges)
    yield "covariates", partial(networks.covariates, given.reference)
    yield "denoiser", lambda: torch.cat([noise for noise in networks.noises(*given.noisy) if noise is not None])
    yield "decoder", partial(networks.decode, given.latent)
    yield "guidance", partial(networks.ncc_gradient, *given.guided)
    yield "fine, end to end", partial(_fine, enhancer, given.reference.numpy()[0, 0])


def _restore(enhancer: Enhancer, head: Volume) -> dict[str, np.ndarray]:
    """Return stage to the restored head."""
    coarse = _coarse(enhancer, head)
    return {"coarse": coarse} | ({} if enhancer.fine is None else {"fine": _fine(enhancer, coarse)})


def _coarse(enhancer: Enhancer, head: Volume) -> np.ndarray:
    """Return a head restored by the first stage."""
    return replace(enhancer, fine=None).restore(head).data


def _fine(enhancer: Enhancer, coarse: np.ndarray) -> np.ndarray:
    """Return it restored by the second stage: one sample, always of the same noise."""
    assert enhancer.fine is not None
    return enhancer.fine.restore(coarse, enhancer.sampling.model_copy(update={"samples": 1}), 0).data


def _coarse_head(head: Volume) -> Tensor:
    """Return what the field network sees of a head."""
    return torch.from_numpy(averaged(head).data)[None, None]


def _slab(head: Volume, plane: str, channels: int) -> Tensor:
    """Return a batch of slabs from the middle of a head; its slices stand for the position, too."""
    slices = torch.from_numpy(head.data).movedim(PLANE_AXES[plane], 0)
    count = min(_ODD_BATCH, len(slices) // channels)
    first = (len(slices) - count * channels) // 2
    return slices[first : first + count * channels].reshape(count, channels, *slices.shape[1:]).contiguous()


def _timed(compute: Computation) -> tuple[np.ndarray, float]:
    """Return a result as an array, and the seconds it took."""
    start = time.perf_counter()
    with torch.no_grad():
        result = compute()
    seconds = time.perf_counter() - start
    return (result.detach().numpy() if isinstance(result, Tensor) else result), seconds


def _exact(bundle: Bundle, weights: Path) -> Enhancer:
    """Return torch's enhancer with the weights of a folder, in float32 throughout."""
    enhancer = Enhancer.from_folder(weights / "coarse")
    enhancer = replace(enhancer, coarse=replace(enhancer.coarse, dtype=torch.float32))
    if bundle.manifest.fine is None:
        return enhancer
    fine = enhancer.with_fine(weights, bundle.manifest.fine.sampling).fine
    assert fine is not None
    networks = replace(cast(TorchNetworks, fine.networks), dtype=torch.float32)
    return replace(enhancer, fine=replace(fine, networks=networks), sampling=bundle.manifest.fine.sampling)
