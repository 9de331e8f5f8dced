"""A bundle is there whole or not at all, and tells nothing of the machine that wrote it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest
from filelock import FileLock

from bmenet.config import SamplingConfig
from bmenet.release.export import onnx_file
from bmenet.release.export import write as module
from bmenet.release.export.parity import measure_parity
from bmenet.release.export.write import write_bundle
from bmenet.restoration.bundle import open_bundle
from bmenet.runtime.errors import BMENetError, ConfigError, WeightsError
from tests.bundled import EXPORT, SAMPLING, smoke_bundle
from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return Path(shutil.copytree(smoke_bundle() / "weights", tmp_path_factory.mktemp("weights") / "weights"))


@pytest.fixture
def quick(monkeypatch):
    """Graphs that take no time to write."""

    def write_graph(_plan, path, _opset):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(smoke_bundle() / "onnx" / "fp32" / path.name, path)

    monkeypatch.setattr(module, "write_graph", write_graph)


def _write(weights: Path, folder: Path, sampling: SamplingConfig = SAMPLING) -> None:
    write_bundle(weights, folder, EXPORT, sampling, {"profile": "smoke"})


def test_bundle_holds_graphs_weights_settings_and_lineage(weights):
    manifest = open_bundle(smoke_bundle()).manifest
    fp32, fp16 = manifest.graphs["fp32"], manifest.graphs["fp16"]
    assert set(fp32) - set(fp16) == {"guidance"}
    assert {name for name in fp32 if not name.startswith("coarse")} == {
        *("encoder", "edge_encoder", "covariates", "denoiser", "decoder", "guidance")
    }
    assert manifest.fine is not None
    assert manifest.fine.sampling == SAMPLING
    assert manifest.fine.reference_variance == [0.04, 0.4, 0.004]
    assert manifest.fine.latent_scale == [1.0] * 3
    assert manifest.lineage["profile"] == "smoke"
    assert len(manifest.lineage["weights.fine"]) == 64
    assert [tensor.name for tensor in fp32["denoiser"].outputs] == ["steered", "noise"]
    for graph in (graph for name, graph in fp32.items() if name.startswith("coarse")):
        assert graph.inputs[0].shape[0] == "batch"


def test_half_precision_takes_about_half_the_space():
    files = open_bundle(smoke_bundle()).manifest.files
    full, half = (files[f"onnx/{precision}/denoiser.onnx"].bytes for precision in ("fp32", "fp16"))
    assert half < 0.75 * full


def test_graphs_have_the_opset_that_was_asked_for_and_no_traces_of_the_machine():
    folder = smoke_bundle()
    for path in folder.rglob("*.onnx"):
        model = onnx.load(str(path))
        assert {entry.version for entry in model.opset_import if entry.domain == ""} == {20}
        assert not [node for node in model.graph.node if node.metadata_props or node.doc_string]
        content = path.read_bytes()
        assert str(REPOSITORY).encode() not in content
        assert b"site-packages" not in content


def test_no_weights_format_that_can_run_code():
    suffixes = {path.suffix for path in smoke_bundle().rglob("*") if path.is_file()}
    assert suffixes == {".json", ".onnx", ".safetensors"}


def test_coarse_weights_alone_make_a_bundle_of_one_stage(weights, tmp_path, quick):
    shutil.copytree(weights / "coarse", tmp_path / "weights" / "coarse")
    _write(tmp_path / "weights", tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    assert not bundle.has_fine
    assert all(name.startswith("coarse") for name in bundle.manifest.graphs["fp32"])


def test_the_same_weights_give_the_same_bundle(weights, tmp_path, quick):
    for name in ("one", "two"):
        _write(weights, tmp_path / name)
    assert open_bundle(tmp_path / "one").digest == open_bundle(tmp_path / "two").digest


def test_a_failed_export_leaves_the_old_bundle_and_nothing_else(weights, tmp_path, quick, monkeypatch):
    _write(weights, tmp_path / "bundle")
    before = open_bundle(tmp_path / "bundle").digest

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "describe_graph", full)
    with pytest.raises(OSError, match="No space left"):
        _write(weights, tmp_path / "bundle")
    assert open_bundle(tmp_path / "bundle").digest == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bundle.lock", "bundle"]


def test_what_a_killed_export_left_is_swept_by_the_next(weights, tmp_path, quick):
    left = tmp_path / ".partial-0123abcd-bundle"
    (left / "onnx").mkdir(parents=True)
    _write(weights, tmp_path / "bundle")
    assert not left.exists()


def test_a_killed_export_leaves_no_bundle(weights, tmp_path):
    script = (
        "from pathlib import Path; from tests.bundled import EXPORT, SAMPLING;"
        "from bmenet.release.export.write import write_bundle;"
        f"write_bundle(Path({str(weights)!r}), Path({str(tmp_path / 'bundle')!r}),"
        " EXPORT, SAMPLING, {}, lambda name: print(name, flush=True))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "bundle").exists()
    with pytest.raises(WeightsError):
        open_bundle(tmp_path / "bundle")


def test_sampling_that_the_networks_do_not_know_is_refused_before_anything_is_written(weights, tmp_path):
    with pytest.raises(ConfigError, match="start_timestep"):
        _write(weights, tmp_path / "bundle", SAMPLING.model_copy(update={"start_timestep": 900}))
    assert not list(tmp_path.iterdir())


def test_damaged_weights_are_refused(weights, tmp_path):
    copy = Path(shutil.copytree(weights, tmp_path / "weights"))
    spec = json.loads((copy / "prior" / "model.json").read_text())
    (copy / "prior" / "model.json").write_text(json.dumps(spec | {"sha256": "0" * 64}))
    with pytest.raises(WeightsError, match="expected SHA-256"):
        _write(copy, tmp_path / "bundle")


def test_a_folder_with_other_files_is_never_replaced(weights, tmp_path, quick):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "thesis.txt").write_text("years of work")
    with pytest.raises(WeightsError, match="expected a bundle or nothing there; got other files"):
        _write(weights, tmp_path / "results")
    assert (tmp_path / "results" / "thesis.txt").read_text() == "years of work"


def test_a_file_in_the_place_of_the_folder_is_never_replaced(weights, tmp_path, quick):
    (tmp_path / "notes").write_text("x")
    with pytest.raises(WeightsError, match="expected a folder for the bundle"):
        _write(weights, tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "x"


def test_the_current_folder_can_be_the_bundle_s(weights, tmp_path, quick, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    _write(weights, Path())
    assert open_bundle(tmp_path / "here").has_fine


def test_two_exports_of_one_folder_do_not_meet(weights, tmp_path, quick):
    with (
        FileLock(tmp_path / ".bundle.lock"),
        pytest.raises(BMENetError, match="expected to be the only export of this folder"),
    ):
        _write(weights, tmp_path / "bundle")


def test_large_graphs_keep_their_weights_in_a_file_beside_them(weights, tmp_path, monkeypatch):
    # As if 2 GiB were nothing.
    monkeypatch.setattr(onnx_file, "_MAX_INLINE_BYTES", 0)
    shutil.copytree(weights / "coarse", tmp_path / "weights" / "coarse")
    _write(tmp_path / "weights", tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    assert {f"onnx/{precision}/coarse.onnx.data" for precision in ("fp32", "fp16")} <= set(bundle.manifest.files)
    assert all(row.is_kept for row in measure_parity(bundle, ["fp32", "fp16"]))
