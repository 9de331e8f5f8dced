"""One graph to one ONNX file."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch

from bmenet.release.export.graphs import GraphPlan
from bmenet.restoration.bundle.manifest import Graph, Tensor

_MAX_INLINE_BYTES = 1_900_000_000
"""Protobuf messages end at 2 GiB: the weights of larger graphs go into a file beside."""


def write_graph(plan: GraphPlan, path: Path, opset: int) -> None:
    """Export a graph, free of traces of the machine that wrote it."""
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            plan.module.eval(),
            tuple(plan.inputs.values()),
            dynamo=True,
            opset_version=opset,
            input_names=list(plan.inputs),
            output_names=plan.outputs,
            dynamic_shapes=tuple(plan.dynamic.get(name, {}) for name in plan.inputs) if plan.dynamic else None,
            verbose=False,
        )
    if program is None:
        raise RuntimeError(f"{path.name}: torch exported nothing")
    # Where in the source a node comes from: absolute paths of this machine.
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
    weights = [value.const_value for value in program.model.graph.initializers.values()]
    weights_bytes = sum(int(tensor.nbytes) for tensor in weights if tensor is not None)
    path.parent.mkdir(parents=True, exist_ok=True)
    program.save(path, external_data=weights_bytes > _MAX_INLINE_BYTES)
    onnx.checker.check_model(str(path))


def describe_graph(path: Path, bundle: Path) -> Graph:
    """Return what a written graph takes and gives."""
    graph = onnx.load(str(path), load_external_data=False).graph
    return Graph(
        path=path.relative_to(bundle).as_posix(),
        inputs=[_describe(value) for value in graph.input],
        outputs=[_describe(value) for value in graph.output],
    )


def _describe(value: onnx.ValueInfoProto) -> Tensor:
    """Return name, extents and element type."""
    tensor = value.type.tensor_type
    shape: list[int | str] = [axis.dim_param or axis.dim_value for axis in tensor.shape.dim]
    return Tensor(name=value.name, shape=shape, dtype=onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks about packages that are not installed to itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
