"""A graph refers to stored bytes where they are its own, and computes what it computed before."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from safetensors.numpy import save_file

from bmenet.release.export.shared_weights import StoredTensors, share_weights

SIZE = 64


@pytest.fixture
def stored(tmp_path: Path) -> np.ndarray:
    """A matrix among others in the weights of a bundle."""
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(SIZE, SIZE)).astype(np.float16)
    (tmp_path / "weights" / "coarse").mkdir(parents=True)
    others = {"a": generator.normal(size=(3, 5)).astype(np.float16), "z": generator.normal(size=7).astype(np.float32)}
    save_file({"matrix": matrix, **others}, tmp_path / "weights" / "coarse" / "model.safetensors")
    return matrix


def _share(folder: Path, constant: np.ndarray) -> tuple[onnx.TensorProto, np.ndarray]:
    """Write ``x @ constant``, share its weights; return the initializer, and what ONNX Runtime computes of ones."""
    kind = onnx.helper.np_dtype_to_tensor_dtype(constant.dtype)
    x, y = (
        onnx.helper.make_tensor_value_info(name, kind, [1, extent])
        for name, extent in zip("xy", constant.shape, strict=True)
    )
    weight = onnx.numpy_helper.from_array(np.ascontiguousarray(constant), "w")
    graph = onnx.helper.make_graph([onnx.helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 20)])
    path = folder / "g.onnx"
    onnx.save(model, str(path))
    share_weights(path, StoredTensors(folder))
    (initializer,) = onnx.load(str(path), load_external_data=False).graph.initializer
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return initializer, session.run(None, {"x": np.ones((1, constant.shape[0]), constant.dtype)})[0]


def _is_outside(initializer: onnx.TensorProto) -> bool:
    return initializer.data_location == onnx.TensorProto.EXTERNAL


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(
    "arrange",
    [lambda m: m, lambda m: m.T, lambda m: m.reshape(2 * SIZE, -1)],
    ids=["as stored", "transposed", "reshaped"],
)
def test_stored_values_are_read_from_where_they_are_stored(tmp_path, stored, arrange, dtype):
    constant = arrange(stored).astype(dtype)
    initializer, result = _share(tmp_path, constant)
    assert _is_outside(initializer)
    assert not initializer.raw_data
    place = {entry.key: entry.value for entry in initializer.external_data}
    assert place["location"] == "weights/coarse/model.safetensors"
    content = (tmp_path / place["location"]).read_bytes()[int(place["offset"]) :][: int(place["length"])]
    assert content == stored.tobytes()
    np.testing.assert_allclose(
        result, constant.astype(np.float64).sum(0)[None], atol=1e-4 if dtype == np.float32 else 0.1
    )


def test_other_values_of_float16_stay_inside_as_such(tmp_path, stored):
    initializer, result = _share(tmp_path, (2 * stored).astype(np.float32))
    assert not _is_outside(initializer)
    assert (initializer.data_type, len(initializer.raw_data)) == (onnx.TensorProto.FLOAT16, 2 * stored.size)
    np.testing.assert_allclose(result, 2 * stored.astype(np.float64).sum(0)[None], atol=1e-4)


@pytest.mark.parametrize("change", [1e-5, 1e6])
def test_values_that_float16_would_change_stay_as_they_are(tmp_path, stored, change):
    constant = stored.astype(np.float32) + np.float32(change)
    initializer, _ = _share(tmp_path, constant)
    assert not _is_outside(initializer)
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(initializer), constant)


def test_small_tensors_stay_inside(tmp_path, stored):
    initializer, _ = _share(tmp_path, stored[:4, :4].astype(np.float32))
    assert initializer.data_type == onnx.TensorProto.FLOAT
