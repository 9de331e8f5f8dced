"""Weights that an ONNX file keeps outside itself: where it says they are, before anybody opens them."""

from pathlib import Path
from typing import TYPE_CHECKING

from bmenet.bundle.read import Bundle
from bmenet.errors import WeightsError

if TYPE_CHECKING:
    import onnx


def check_external_data(path: Path, bundle: Bundle) -> None:
    """Check that an ONNX file takes weights from files beside it alone, and only from such as the bundle names.

    Raises
    ------
    WeightsError
        If the file is no ONNX, or names a path elsewhere: ``../``, absolute, through a folder or a link.
    """
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own kinds
        raise WeightsError(f"{path}: expected an ONNX graph; got something else; export the bundle again") from error
    folder = path.parent.relative_to(bundle.folder)
    for tensor in _tensors(model):
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        is_beside = location not in ("", ".", "..") and not {"/", "\\", "\0"} & set(location)
        if not is_beside or (folder / location).as_posix() not in bundle.manifest.files:
            raise WeightsError(
                f"{path}: expected weights in files beside it that the bundle names; got {location!r}; do not use it"
            )


def _tensors(model: "onnx.ModelProto") -> "list[onnx.TensorProto]":
    """Return every tensor of a model: initializers, and attributes of nodes at any depth."""
    import onnx

    found: list[onnx.TensorProto] = []
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            found += graph.initializer
            found += [part for sparse in graph.sparse_initializer for part in (sparse.values, sparse.indices)]
            nodes += graph.node
        for node in nodes:
            for attribute in node.attribute:
                found += [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]
                graphs += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
        nodes = []
    return found
