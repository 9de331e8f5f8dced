"""One graph to one ONNX file, whose weights may be those of the bundle's safetensors files.

A safetensors file is a header and then plain little-endian tensors, which an ONNX graph can take as external data: one
copy of the bytes for both runtimes. A node casts float16 bytes to float32; ONNX Runtime folds it when it loads the
graph.
"""

import copy
import hashlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from onnx.external_data_helper import set_external_data
from safetensors import safe_open

from bmenet.release.export.graphs import GraphPlan
from bmenet.restoration.bundle.manifest import Graph, Tensor

_MAX_INLINE_BYTES = 1_900_000_000
"""Protobuf messages end at 2 GiB: the weights of larger graphs go into a file beside."""

_MIN_STORED_BYTES = 4096
"""Smaller tensors stay in the graph: their place would take as many bytes."""


class Place(NamedTuple):
    """Location of a tensor's bytes: a file of the bundle, an offset and a length in bytes."""

    location: str
    offset: int
    length: int


def stored_tensors(bundle: Path) -> dict[str, Place]:
    """Return the places of the float16 tensors in a bundle's folder ``weights``, by the SHA-256 of their bytes."""
    places: dict[str, Place] = {}
    for path in sorted(bundle.glob("weights/*/*.safetensors")):
        with safe_open(path, "numpy") as file:
            tensors = [file.get_tensor(key) for key in file.offset_keys()]
        offset = path.stat().st_size - sum(values.nbytes for values in tensors)  # the format has no holes
        for values in tensors:
            if values.dtype == np.float16:
                places.setdefault(_key(values), Place(path.relative_to(bundle).as_posix(), offset, values.nbytes))
            offset += values.nbytes
    return places


def write_graph(plan: GraphPlan, path: Path, opset: int, stored: Mapping[str, Place] | None = None) -> None:
    """Export a graph to an ONNX file, free of traces of the machine that wrote it.

    With `stored_tensors`, the file is to lie at the root of the bundle: the graph refers to these, and keeps the other
    float16 values in float16.
    """
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
    # Ranges of free extents, in the order of a hash: the same network would be another file in another process.
    program.model.graph.metadata_props.clear()
    # Where in the source a node comes from: absolute paths of this machine.
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
    model = program.model_proto
    if stored is not None:
        _refer_to(stored, model.graph)
    path.parent.mkdir(parents=True, exist_ok=True)
    is_large = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > _MAX_INLINE_BYTES
    onnx.save_model(model, path, save_as_external_data=is_large, location=f"{path.name}.data")
    onnx.checker.check_model(str(path))


def describe_graph(path: Path, bundle: Path) -> Graph:
    """Return the inputs and outputs of a written graph."""
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


def _refer_to(stored: Mapping[str, Place], graph: onnx.GraphProto) -> None:
    """Let a graph take its large float16 values from where they are stored, in place."""
    nodes = []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if (halved := _in_half(values)) is None:
            continue
        place = stored.get(_key(halved))
        is_transposed = place is None and halved.ndim == 2 and _key(halved.T) in stored
        if is_transposed:
            halved = halved.T
            place = stored[_key(halved)]
        operations: list[tuple[str, dict[str, Any]]] = [("Transpose", {"perm": [1, 0]})] * is_transposed
        operations += [("Cast", {"to": onnx.TensorProto.FLOAT})] * (values.dtype == np.float32)
        name = tensor.name
        names = [f"{name}.stored{step or ''}" for step in range(len(operations))] + [name]
        nodes += [
            onnx.helper.make_node(kind, [before], [after], name=f"{after}.{kind.lower()}", **attributes)
            for (kind, attributes), before, after in zip(operations, names, names[1:], strict=False)
        ]
        tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(halved), names[0]))
        if place is not None:
            set_external_data(tensor, *place)
            tensor.ClearField("raw_data")
    nodes += copy.deepcopy(list(graph.node))
    del graph.node[:]
    graph.node.extend(nodes)


def _in_half(values: np.ndarray) -> np.ndarray | None:
    """Return the values of a large tensor in float16, if float16 can hold all of them."""
    if values.dtype not in (np.float32, np.float16) or values.nbytes < _MIN_STORED_BYTES:
        return None
    with np.errstate(over="ignore"):
        halved = values.astype(np.float16)
    return halved if np.array_equal(halved, values) else None


def _key(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's remarks about packages that are not installed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)
