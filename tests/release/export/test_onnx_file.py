"""A graph refers to stored bytes where they are its own, and computes what it computed before."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from bmenet.release.export import onnx_file
from bmenet.release.export.graphs import GraphPlan
from bmenet.release.export.onnx_file import stored_tensors, write_graph

SIZE = 64


class Product(nn.Module):
    """``x @ constant``."""

    def __init__(self, constant: np.ndarray) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.from_numpy(constant.copy()), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.constant


@pytest.fixture
def stored(tmp_path: Path) -> np.ndarray:
    """A matrix among others in the weights of a bundle."""
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(SIZE, SIZE)).astype(np.float16)
    (tmp_path / "weights" / "coarse").mkdir(parents=True)
    others = {"a": generator.normal(size=(3, 5)).astype(np.float16), "z": generator.normal(size=7).astype(np.float32)}
    save_file({"matrix": matrix, **others}, tmp_path / "weights" / "coarse" / "model.safetensors")
    return matrix


def _write(folder: Path, constant: np.ndarray, is_shared: bool = True) -> tuple[onnx.TensorProto, np.ndarray]:
    """Write a graph; return its initializer, and ONNX Runtime's product of ones and the constant."""
    x = np.ones((1, constant.shape[0]), constant.dtype)
    plan = GraphPlan(Product(constant), {"x": torch.from_numpy(x)}, ["y"])
    path = folder / "g.onnx"
    write_graph(plan, path, 20, stored_tensors(folder) if is_shared else None)
    (initializer,) = onnx.load(str(path), load_external_data=False).graph.initializer
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return initializer, session.run(None, {"x": x})[0]


def _place(initializer: onnx.TensorProto) -> dict[str, str]:
    """Return the place of an initializer's external data, if it has any."""
    assert bool(initializer.external_data) != bool(initializer.raw_data)
    return {entry.key: entry.value for entry in initializer.external_data}


@pytest.mark.parametrize(
    ("arrange", "dtype"),
    [
        (lambda m: m, np.float32),
        (lambda m: m.T, np.float32),
        (lambda m: m.T, np.float16),
        (lambda m: m.reshape(2 * SIZE, -1), np.float32),
    ],
    ids=["as stored", "transposed", "transposed half", "reshaped"],
)
def test_stored_values_are_read_from_where_they_are_stored(tmp_path, stored, arrange, dtype):
    constant = arrange(stored).astype(dtype)
    initializer, result = _write(tmp_path, constant)
    place = _place(initializer)
    assert place["location"] == "weights/coarse/model.safetensors"
    content = (tmp_path / place["location"]).read_bytes()[int(place["offset"]) :][: int(place["length"])]
    assert content == stored.tobytes()
    tolerance = 1e-4 if dtype == np.float32 else 0.1
    np.testing.assert_allclose(result, constant.astype(np.float64).sum(0)[None], atol=tolerance)


def test_other_values_stay_inside_and_small_ones_and_are_float16_only_where_that_changes_nothing(tmp_path, stored):
    exact = stored.astype(np.float32)
    half, full = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    others = {half: [2 * exact], full: [exact + np.float32(1e-5), exact + np.float32(1e6), exact[:4, :4]]}
    for constant, kind in ((constant, kind) for kind, constants in others.items() for constant in constants):
        initializer, result = _write(tmp_path, constant)
        assert (initializer.data_type, _place(initializer)) == (kind, {})
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(initializer), constant)
        np.testing.assert_allclose(result, constant.astype(np.float64).sum(0)[None], rtol=1e-5, atol=1e-4)


def test_large_graphs_keep_their_weights_in_a_file_beside_them(tmp_path, stored, monkeypatch):
    monkeypatch.setattr(onnx_file, "_MAX_INLINE_BYTES", 0)  # as if 2 GiB were nothing
    initializer, result = _write(tmp_path, stored.astype(np.float32), is_shared=False)
    assert _place(initializer)["location"] == "g.onnx.data"
    np.testing.assert_allclose(result, stored.astype(np.float64).sum(0)[None], atol=1e-4)


def test_a_graph_with_free_extents_is_the_same_file_in_every_process(tmp_path, stored):
    plan = GraphPlan(
        Product(stored.astype(np.float32)),
        {"x": torch.zeros(3, SIZE)},
        ["y"],
        {"x": {0: torch.export.Dim("batch", min=2, max=64)}},
    )
    write_graph(plan, tmp_path / "g.onnx", 20)
    # torch writes the ranges of extents into the metadata, in the order of a hash that every process draws anew.
    model = onnx.load(str(tmp_path / "g.onnx"))
    assert not model.metadata_props
    assert not model.graph.metadata_props
