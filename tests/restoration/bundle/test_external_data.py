"""An ONNX file may keep its weights in a file beside it or below, and nowhere else."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from bmenet.restoration.bundle import open_bundle
from bmenet.restoration.bundle.external_data import external_files
from bmenet.restoration.onnx.session import Sessions
from bmenet.runtime.errors import WeightsError
from tests.bundled import smoke_bundle

GRAPH = "onnx/fp32/encoder.onnx"
SIDE = "onnx/fp32/encoder.onnx.data"
BELOW = "onnx/fp32/sub/w"


def _outside(bundle: Path, location: str, in_node: bool = False) -> None:
    """Let a graph of the bundle take a tensor from `location`, and name everything with the right checksums."""
    values = onnx.numpy_helper.from_array(np.ones(4, dtype=np.float32), "w")
    values.ClearField("raw_data")
    values.data_location = onnx.TensorProto.EXTERNAL
    values.external_data.add(key="location", value=location)
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]) for name in "xy")
    nodes = [onnx.helper.make_node("Add", ["x", "w"], ["y"])]
    if in_node:
        nodes.insert(0, onnx.helper.make_node("Constant", [], ["w"], value=values))
    graph = onnx.helper.make_graph(nodes, "g", [x], [y], [] if in_node else [values])
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 20)])
    (bundle / GRAPH).write_bytes(model.SerializeToString())
    (bundle / BELOW).parent.mkdir()
    for name in (SIDE, BELOW):
        (bundle / name).write_bytes(np.ones(4, dtype=np.float32).tobytes())
    manifest = json.loads((bundle / "bundle.json").read_text())
    for name in (GRAPH, SIDE, BELOW):
        content = (bundle / name).read_bytes()
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (bundle / "bundle.json").write_text(json.dumps(manifest))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(smoke_bundle(), tmp_path / "bundle"))


def _files(bundle: Path) -> list[str]:
    return external_files((bundle / GRAPH).read_bytes(), GRAPH)


@pytest.mark.parametrize(("location", "file"), [("encoder.onnx.data", SIDE), ("sub/w", BELOW)])
def test_a_named_file_beside_the_graph_or_below_is_fine(bundle, location, file):
    _outside(bundle, location)
    assert _files(bundle) == [file]
    (output,) = _session(bundle).run(None, {"x": np.ones(4, dtype=np.float32)})
    np.testing.assert_array_equal(output, 2)


def _session(bundle: Path):
    return Sessions(open_bundle(bundle)).session("encoder", {})


@pytest.mark.parametrize("in_node", [False, True])
@pytest.mark.parametrize(
    "location",
    [
        *("../../../../etc/passwd", "/etc/passwd", "../fp32/encoder.onnx.data", "sub/../../fp32/encoder.onnx.data"),
        *("./sub/w", "sub//w", "sub/", "..", ".", "", "a\\b", "sub/w\0"),
    ],
)
def test_weights_elsewhere_are_refused(bundle, location, in_node):
    _outside(bundle, location, in_node)
    with pytest.raises(WeightsError, match="expected weights in one file beside it"):
        _files(bundle)
    with pytest.raises(WeightsError, match="expected weights in one file beside it"):
        _session(bundle)


def test_a_second_location_does_not_slip_through(bundle):
    _outside(bundle, "encoder.onnx.data")
    model = onnx.load(str(bundle / GRAPH), load_external_data=False)
    model.graph.initializer[0].external_data.add(key="location", value="../../../secret.bin")
    with pytest.raises(WeightsError, match="expected weights in one file beside it"):
        external_files(model.SerializeToString(), GRAPH)


@pytest.mark.parametrize(("location", "file"), [("encoder.onnx.data", SIDE), ("sub/w", BELOW)])
def test_a_file_that_the_bundle_does_not_name_is_refused(bundle, location, file):
    _outside(bundle, location)
    opened = open_bundle(bundle)
    opened.manifest.files.pop(file)
    with pytest.raises(WeightsError, match="expected weights that the bundle names"):
        Sessions(opened).session("encoder", {})


@pytest.mark.parametrize(("location", "file"), [("encoder.onnx.data", SIDE), ("sub/w", BELOW)])
def test_weights_elsewhere_are_checked_when_they_are_opened(bundle, location, file):
    _outside(bundle, location)
    opened = open_bundle(bundle)
    (bundle / file).write_bytes(np.zeros(4, dtype=np.float32).tobytes())
    with pytest.raises(WeightsError, match="expected SHA-256"):
        Sessions(opened).session("encoder", {})


def test_a_linked_folder_below_is_refused(bundle, tmp_path):
    _outside(bundle, "sub/w")
    opened = open_bundle(bundle)
    shutil.move((bundle / BELOW).parent, tmp_path / "moved")
    (bundle / BELOW).parent.symlink_to(tmp_path / "moved")
    with pytest.raises(WeightsError, match="expected a folder; got a link"):
        Sessions(opened).session("encoder", {})


@pytest.mark.parametrize("in_node", [False, True])
def test_sparse_tensors_are_refused(in_node):
    values = onnx.numpy_helper.from_array(np.ones(1, dtype=np.float32), "w")
    sparse = onnx.helper.make_sparse_tensor(values, onnx.numpy_helper.from_array(np.array([0]), "i"), [4])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [4])
    node = (
        onnx.helper.make_node("Constant", [], ["y"], sparse_value=sparse)
        if in_node
        else onnx.helper.make_node("Identity", ["w"], ["y"])
    )
    graph = onnx.helper.make_graph([node], "g", [], [y], sparse_initializer=[] if in_node else [sparse])
    with pytest.raises(WeightsError, match="expected dense tensors alone"):
        external_files(onnx.helper.make_model(graph).SerializeToString(), GRAPH)


def test_what_is_no_graph_is_refused():
    with pytest.raises(WeightsError, match="expected an ONNX graph"):
        external_files(b"\x80\x04\x95 not protobuf", GRAPH)


def test_graphs_that_are_exported_keep_their_weights_inside():
    for path in smoke_bundle().rglob("*.onnx"):
        assert external_files(path.read_bytes(), "onnx/fp32/x.onnx") == []
