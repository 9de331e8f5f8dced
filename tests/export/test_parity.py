"""ONNX Runtime says what torch says, graph by graph and from end to end; and a graph that does not is found."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from bmenet.bundle import open_bundle
from bmenet.bundle.read import Bundle
from bmenet.errors import WeightsError
from bmenet.export import run as module
from bmenet.export.parity import TOLERANCES, Parity, measure_parity
from bmenet.export.run import export
from tests.bundled import smoke_bundle
from tests.fine_networks import smoke_config


@pytest.fixture(scope="module")
def rows() -> list[Parity]:
    return measure_parity(open_bundle(smoke_bundle()), ["fp32", "fp16"])


def test_every_graph_and_both_stages_are_compared(rows):
    graphs = {"coarse", "encoder", "edge_encoder", "covariates", "denoiser", "decoder", "guidance"}
    for precision in ("fp32", "fp16"):
        found = {row.graph for row in rows if row.precision == precision}
        assert found == {*graphs, "coarse, end to end", "fine, end to end"}


def test_every_difference_is_within_its_tolerance(rows):
    assert [row for row in rows if not row.is_kept] == []


def test_float16_differs_and_float32_hardly_does(rows):
    errors = {(row.graph, row.precision): row.error for row in rows}
    assert errors["denoiser", "fp16"] > 10 * errors["denoiser", "fp32"]
    assert errors["guidance", "fp16"] == errors["guidance", "fp32"]
    assert errors["fine, end to end", "fp32"] < 1e-4


def test_tolerances_are_far_below_what_can_be_seen():
    assert max(value for by_kind in TOLERANCES.values() for value in by_kind.values()) <= 0.01


def _with_other_weights(folder: Path) -> Bundle:
    """Return a bundle whose decoder has been given slightly other weights."""
    copy = Path(shutil.copytree(smoke_bundle(), folder / "bundle"))
    path = copy / "onnx" / "fp32" / "decoder.onnx"
    model = onnx.load(str(path))
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = onnx.numpy_helper.to_array(largest)
    largest.CopyFrom(onnx.numpy_helper.from_array((1.01 * values).astype(np.float32), largest.name))
    onnx.save(model, str(path))
    return replace(open_bundle(smoke_bundle()), folder=copy)


def test_a_graph_with_other_weights_is_found(tmp_path):
    rows = {row.graph: row for row in measure_parity(_with_other_weights(tmp_path), ["fp32"])}
    assert not rows["decoder"].is_kept
    assert rows["encoder"].is_kept


def test_a_bundle_that_differs_is_refused_and_cannot_be_used(tmp_path, monkeypatch):
    bad = Parity("decoder", "fp32", 0.2, 0.1, 1e-4, 1.0, 1.0)
    monkeypatch.setattr(module, "write_bundle", lambda _weights, folder, *_: shutil.copytree(smoke_bundle(), folder))
    monkeypatch.setattr(module, "measure_parity", lambda *_: [bad])
    with pytest.raises(WeightsError, match=r"decoder fp32: 2\.0e-01 > 1e-04"):
        export(tmp_path, tmp_path / "bundle", smoke_config(), {})
    with pytest.raises(WeightsError):
        open_bundle(tmp_path / "bundle")
