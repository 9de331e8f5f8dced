"""Let a graph read its weights from a bundle's safetensors files: one copy of the bytes for both runtimes.

A safetensors file is a header and then plain little-endian tensors. ONNX names such bytes as external data: location,
offset, length. What lies there in float16 is cast to float32 by a node that ONNX Runtime folds when it loads the graph.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

_MIN_BYTES = 4096
"""Smaller tensors stay in the graph: naming their place would take as much."""


@dataclass(frozen=True)
class Place:
    """Where the bytes of a tensor lie.

    Parameters
    ----------
    location : str
        A safetensors file, relative to the bundle.
    offset, length : int
        Bytes.
    shape : tuple of int
        Of the tensor there.
    """

    location: str
    offset: int
    length: int
    shape: tuple[int, ...]


class StoredTensors:
    """The float16 tensors of a bundle's weights, found by what they hold.

    Parameters
    ----------
    bundle : Path
        With its folder ``weights``.
    """

    def __init__(self, bundle: Path) -> None:
        self._places: dict[bytes, Place] = {}
        self._transposed: dict[bytes, Place] = {}
        for path in sorted(bundle.glob("weights/*/*.safetensors")):
            for place in _places(path, path.relative_to(bundle).as_posix()):
                values = np.fromfile(path, np.float16, place.length // 2, offset=place.offset).reshape(place.shape)
                self._places.setdefault(_key(values), place)
                if values.ndim == 2:
                    self._transposed.setdefault(_key(values.T), place)

    def find(self, values: np.ndarray) -> tuple[Place | None, bool]:
        """Return where an array's bytes lie, if anywhere, and whether it is the transpose of what lies there."""
        key = _key(values)
        if key in self._places:
            return self._places[key], False
        place = self._transposed.get(key) if values.ndim == 2 else None
        return (place, True) if place and place.shape == values.shape[::-1] else (None, False)


def share_weights(path: Path, stored: StoredTensors) -> None:
    """Rewrite a graph at the root of a bundle so that it refers to the stored weights.

    What the exporter folded into other numbers is not among them and stays in the graph, in float16 where that loses
    nothing.

    Parameters
    ----------
    path : Path
        Of the ONNX file.
    stored : StoredTensors
    """
    model = onnx.load(str(path))
    graph = model.graph
    kept, nodes = [], []
    for tensor in graph.initializer:
        halved = _in_half(tensor)
        if halved is None:
            kept.append(tensor)
        else:
            initializer, converting = _refer(tensor, halved, *stored.find(halved))
            kept.append(initializer)
            nodes += converting
    nodes += graph.node
    for field, values in ((graph.initializer, kept), (graph.node, nodes)):
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        del field[:]
        field.extend(copies)
    path.write_bytes(model.SerializeToString(deterministic=True))
    path.with_name(f"{path.name}.data").unlink(missing_ok=True)  # of a graph that was beyond protobuf's 2 GiB
    onnx.checker.check_model(str(path))


def _in_half(tensor: onnx.TensorProto) -> np.ndarray | None:
    """Return the values of a large tensor in float16, if that is what they are."""
    if tensor.data_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
        return None
    values = onnx.numpy_helper.to_array(tensor)
    if values.nbytes < _MIN_BYTES:
        return None
    with np.errstate(over="ignore"):
        halved = values.astype(np.float16)
    return halved if np.array_equal(halved, values) else None


def _refer(
    tensor: onnx.TensorProto, halved: np.ndarray, place: Place | None, is_transposed: bool
) -> tuple[onnx.TensorProto, list[onnx.NodeProto]]:
    """Return the initializer that stands for a tensor, and the nodes that turn it into what its name stood for."""
    is_float = tensor.data_type == onnx.TensorProto.FLOAT
    operations = [("Transpose", {"perm": [1, 0]})] * is_transposed + [
        ("Cast", {"to": onnx.TensorProto.FLOAT})
    ] * is_float
    names = [f"{tensor.name}.stored{step or ''}" for step in range(len(operations))] + [tensor.name]
    nodes = [
        onnx.helper.make_node(kind, [before], [after], name=f"{after}.{kind.lower()}", **attributes)
        for (kind, attributes), before, after in zip(operations, names, names[1:], strict=False)
    ]
    if place is None:
        return onnx.numpy_helper.from_array(halved, names[0]), nodes
    shape = halved.shape[::-1] if is_transposed else halved.shape
    initializer = onnx.TensorProto(name=names[0], data_type=onnx.TensorProto.FLOAT16, dims=shape)
    initializer.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", place.location), ("offset", place.offset), ("length", place.length)):
        initializer.external_data.add(key=key, value=str(value))
    return initializer, nodes


def _places(path: Path, location: str) -> list[Place]:
    """Return where a safetensors file keeps its float16 tensors: 8 bytes of length, a JSON header, the tensors."""
    with open(path, "rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        header = json.loads(handle.read(length))
    return [
        Place(location, 8 + length + begin, end - begin, tuple(entry["shape"]))
        for entry in header.values()
        if entry.get("dtype") == "F16"
        for begin, end in [entry["data_offsets"]]
    ]


def _key(values: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).digest()
