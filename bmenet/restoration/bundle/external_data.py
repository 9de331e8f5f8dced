"""Weights that an ONNX file keeps outside itself: where it says they are, before anybody opens them."""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from bmenet.runtime.errors import WeightsError

if TYPE_CHECKING:
    import onnx


def external_files(content: bytes, path: str) -> list[str]:
    """Return the files of a bundle that an ONNX file takes weights from; they lie beside it or in a folder there.

    Parameters
    ----------
    content : bytes
        Of the ONNX file.
    path : str
        Of the file, relative to its bundle.

    Raises
    ------
    WeightsError
        If the file is no ONNX, names a place elsewhere (``../``, absolute) or more than one for a tensor, or has
        sparse tensors, which no export writes.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own kinds
        raise WeightsError(f"{path}: expected an ONNX graph; got something else; export the bundle again") from error
    found = set()
    for tensor in _tensors(model, path):
        if tensor.data_location != onnx.TensorProto.EXTERNAL and not tensor.external_data:
            continue
        locations = [entry.value for entry in tensor.external_data if entry.key == "location"]
        location = locations[0] if len(locations) == 1 else ""
        if {"", ".", ".."} & set(location.split("/")) or {"\\", "\0"} & set(location):
            raise WeightsError(
                f"{path}: expected weights in one file beside it or below; got {locations}; do not use it"
            )
        found.add((PurePosixPath(path).parent / location).as_posix())
    return sorted(found)


def _tensors(model: "onnx.ModelProto", path: str) -> "list[onnx.TensorProto]":
    """Return every tensor of a model: initializers, and attributes of nodes at any depth."""
    found: list[onnx.TensorProto] = []
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            found += graph.initializer
            nodes += graph.node
            _refuse_sparse(graph.sparse_initializer, path)
        for attribute in (attribute for node in nodes for attribute in node.attribute):
            found += [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]
            graphs += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
            _refuse_sparse([*([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else [])], path)
            _refuse_sparse(attribute.sparse_tensors, path)
        nodes = []
    return found


def _refuse_sparse(tensors: "Iterable[onnx.SparseTensorProto]", path: str) -> None:
    if any(True for _ in tensors):
        raise WeightsError(f"{path}: expected dense tensors alone; got sparse ones; do not use it")
