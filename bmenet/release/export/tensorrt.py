"""TensorRT engines of a bundle's graphs, built by ONNX Runtime's provider and kept for the next start."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from bmenet.release.export.graphs import slice_shapes
from bmenet.restoration.bundle import Bundle
from bmenet.restoration.bundle.manifest import Graph, Precision
from bmenet.restoration.onnx.providers import why_not
from bmenet.restoration.onnx.session import open_sessions
from bmenet.runtime.errors import BMENetError

_SLICES = 8
"""Batch of slices that a volume is restored in: engines have fixed shapes."""


def skipped() -> str | None:
    """Return ``skipped: no GPU``, or another reason why engines cannot be built here; None where they can."""
    reason = why_not("tensorrt")
    return None if reason is None else f"skipped: {'no GPU' if reason == 'no NVIDIA GPU' else reason}"


def build_engines(
    bundle: Bundle, precision: Precision, tell: Callable[[str], None] = lambda _: None
) -> dict[str, float]:
    """Build the engine of every graph, or load it where it was built before; return the seconds each took.

    Parameters
    ----------
    bundle : Bundle
    precision : {"fp32", "fp16"}
    tell : callable, optional
        Told the name of each engine before it is built.

    Raises
    ------
    BMENetError
        If this machine cannot build engines, or their folder cannot be written.
    """
    if (reason := skipped()) is not None:
        raise BMENetError(f"expected a machine with TensorRT; {reason}")
    sessions = open_sessions(bundle, precision, ("tensorrt", "cuda", "cpu"))
    seconds = {}
    for name, graph in bundle.manifest.graphs["fp32"].items():
        for feed in example_inputs(graph, bundle.manifest.grid_shape):
            label = f"{name} {'x'.join(map(str, next(iter(feed.values())).shape))}"
            tell(label)
            start = time.perf_counter()
            sessions.run(name, feed)
            seconds[label] = time.perf_counter() - start
    return seconds


def example_inputs(graph: Graph, grid_shape: tuple[int, int, int]) -> list[dict[str, Tensor]]:
    """Return zeros of every shape that a graph is called with: one, or one a plane for a graph of slices."""
    if all(isinstance(extent, int) for tensor in graph.inputs for extent in tensor.shape):
        return [{tensor.name: _zeros(tensor.shape, tensor.dtype) for tensor in graph.inputs}]
    (slab,) = graph.inputs
    fixed = [extent if isinstance(extent, int) else None for extent in slab.shape[2:]]
    return [
        {slab.name: _zeros([_SLICES, slab.shape[1], *shape], slab.dtype)}
        for shape in sorted(set(slice_shapes(grid_shape).values()))
        if all(extent in (None, here) for extent, here in zip(fixed, shape, strict=True))
    ]


def _zeros(shape: list, dtype: str) -> Tensor:
    return torch.zeros(shape, dtype=getattr(torch, dtype))
