"""A bundle is there whole or not at all, and tells nothing of the machine that wrote it."""

import json
import os
import shutil
import signal
from multiprocessing import get_context
from pathlib import Path

import onnx
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file

from bmenet.networks.coarse import load_coarse
from bmenet.release.export import write
from bmenet.release.export.write import add_texts, new_folder, store_networks, write_bundle
from bmenet.restoration.bundle import open_bundle
from bmenet.restoration.torch_networks import load_networks
from bmenet.runtime.errors import BMENetError, ConfigError, WeightsError
from bmenet.runtime.files import sha256
from tests.bundled import EXPORT, SAMPLING, save_networks, smoke_bundle
from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """All networks as they were trained, every child with the checksums of its parents."""
    weights = tmp_path_factory.mktemp("trained")
    save_networks(weights)
    for kind, parents in {"denoiser": ["autoencoder"], "fine": ["autoencoder", "denoiser"]}.items():
        _change_spec(weights / kind, {"parents": {name: sha256(weights / name / "model.json") for name in parents}})
    return weights


def _change_spec(folder: Path, change: dict) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def test_bundle_holds_graphs_weights_settings_and_lineage_and_no_traces_of_the_machine():
    manifest = open_bundle(smoke_bundle()).manifest
    fp32, fp16 = manifest.graphs["fp32"], manifest.graphs["fp16"]
    assert set(fp32) - set(fp16) == {"guidance"}
    assert {name for name in fp32 if not name.startswith("coarse")} == {
        *("field", "encoder", "edge_encoder", "covariates", "denoiser", "decoder", "guidance")
    }
    assert (fp32["field"].inputs[0].shape, fp32["field"].outputs[0].shape) == ([1, 1, 40, 56, 40],) * 2
    assert manifest.fine is not None
    assert manifest.fine.sampling == SAMPLING
    assert manifest.fine.reference_variance == [0.04, 0.4, 0.004]
    assert manifest.fine.latent_scale == [1.0] * 3
    assert manifest.lineage["profile"] == "smoke"
    assert len(manifest.lineage["weights.fine"]) == 64
    assert [tensor.name for tensor in fp32["denoiser"].outputs] == ["steered", "noise"]
    assert fp32["coarse"].inputs[0].shape[0] == "batch"
    full, half = (manifest.files[f"onnx/{precision}/denoiser.onnx"].bytes for precision in ("fp32", "fp16"))
    assert half < 0.75 * full
    folder = smoke_bundle()
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".json", ".onnx", ".safetensors"}
    for path in folder.rglob("*.onnx"):
        model = onnx.load(str(path))
        assert {entry.version for entry in model.opset_import if entry.domain == ""} == {20}
        assert not [node for node in model.graph.node if node.metadata_props or node.doc_string]
        content = path.read_bytes()
        assert str(REPOSITORY).encode() not in content
        assert b"site-packages" not in content


def test_coarse_weights_alone_make_a_bundle_of_one_stage_and_always_the_same(trained, tmp_path):
    shutil.copytree(trained / "coarse", tmp_path / "weights" / "coarse")
    config = EXPORT.model_copy(update={"precisions": ["fp32"]})
    one, two = (write_bundle(tmp_path / "weights", tmp_path / n, config, SAMPLING, {}) for n in ("one", "two"))
    assert not one.has_fine
    assert all(name.startswith("coarse") for name in one.manifest.graphs["fp32"])
    assert one.digest == two.digest
    with_text = add_texts(two, {"CARD.md": "# Card"})
    assert with_text.manifest.files.keys() - one.manifest.files.keys() == {"CARD.md"}
    assert open_bundle(with_text.folder).digest == with_text.digest != one.digest


def test_sampling_that_the_networks_do_not_know_is_refused(trained, tmp_path):
    sampling = SAMPLING.model_copy(update={"start_timestep": 900})
    with pytest.raises(ConfigError, match="start_timestep"), new_folder(tmp_path / "bundle") as new:
        write_bundle(trained, new, EXPORT, sampling, {})
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("storage", "change", "message"),
    [
        ("fp32", {"sha256": "0" * 64}, r"denoiser.*expected SHA-256"),
        ("fp16", {"sha256": "0" * 64}, r"denoiser.*expected SHA-256"),
        ("fp16", {"lineage": {"seed": 1}}, r"fine: expected the denoiser it was trained with; got another one"),
    ],
)
def test_networks_that_are_damaged_or_no_family_are_not_stored(trained, tmp_path, storage, change, message):
    copy = Path(shutil.copytree(trained, tmp_path / "weights"))
    _change_spec(copy / "denoiser", change)
    with pytest.raises(WeightsError, match=message):
        store_networks(copy, ["autoencoder", "denoiser", "fine"], tmp_path / "stored", storage)


def test_weights_are_stored_as_they_are_or_their_kernels_as_float16_that_compute_as_float32(trained, tmp_path):
    store_networks(trained, ["coarse"], tmp_path / "exact", "fp32")
    for name in ("model.json", "model.safetensors"):
        assert (tmp_path / "exact/coarse" / name).read_bytes() == (trained / "coarse" / name).read_bytes()
    store_networks(trained, ["coarse"], tmp_path, "fp16")
    stored = load_file(tmp_path / "coarse" / "model.safetensors")
    exact = load_file(trained / "coarse" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values() if tensor.ndim > 1} == {torch.float16}
    network, spec = load_coarse(tmp_path / "coarse")
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, exact[name].half().float() if tensor.ndim > 1 else exact[name]), name
    assert spec["trained_sha256"] == sha256(trained / "coarse" / "model.safetensors")


def test_rounded_networks_still_belong_together(trained, tmp_path):
    store_networks(trained, ["autoencoder", "edge_autoencoder", "denoiser", "covariates", "fine"], tmp_path, "fp16")
    networks, specs = load_networks(tmp_path)
    assert specs["fine"]["parents"]["denoiser"] == sha256(tmp_path / "denoiser" / "model.json")
    assert specs["fine"]["parents"]["denoiser"] != sha256(trained / "denoiser" / "model.json")
    assert {parameter.dtype for parameter in networks.control.parameters()} == {torch.float32}


def test_a_weight_beyond_float16_is_refused(trained, tmp_path):
    copy = Path(shutil.copytree(trained / "coarse", tmp_path / "coarse"))
    tensors = load_file(copy / "model.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.ndim > 1)
    tensors[name] = tensors[name].clone()
    tensors[name].view(-1)[0] = 1e5
    save_file(tensors, copy / "model.safetensors")
    _change_spec(copy, {"sha256": sha256(copy / "model.safetensors")})
    with pytest.raises(WeightsError, match=r"at most 65504; got 1e\+05 in .*set export\.storage to fp32"):
        store_networks(tmp_path, ["coarse"], tmp_path / "rounded", "fp16")


def _write(folder: Path, content: str | None) -> None:
    """Write a bundle of a text; None stands for an error half-way."""
    with new_folder(folder) as new:
        (new / "bundle.json").write_text(content or "half")
        if content is None:
            raise OSError(28, "No space left on device")


def test_a_folder_takes_the_place_of_the_old_one_whole_or_not_at_all(tmp_path):
    for content in ("one", "two"):
        _write(tmp_path / "bundle", content)
        assert (tmp_path / "bundle" / "bundle.json").read_text() == content
    with pytest.raises(OSError, match="No space left"):
        _write(tmp_path / "bundle", None)
    with FileLock(tmp_path / ".bundle.lock"), pytest.raises(BMENetError, match="expected no other export"):
        _write(tmp_path / "bundle", "")
    assert (tmp_path / "bundle" / "bundle.json").read_text() == "two"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bundle.lock", "bundle"]


@pytest.mark.parametrize("name", ["results", "notes"])
def test_other_files_are_never_replaced(tmp_path, name):
    (tmp_path / "results").mkdir()
    for path in (tmp_path / "results" / "thesis.txt", tmp_path / "notes"):
        path.write_text("years of work")
    with pytest.raises(WeightsError, match=r"expected a (bundle or nothing there|folder for the bundle)"):
        _write(tmp_path / name, "")
    assert (tmp_path / "results" / "thesis.txt").read_text() == (tmp_path / "notes").read_text() == "years of work"


def _die(*_) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _write_in_a_process(folder: Path) -> None:
    """Write a bundle in a process that is killed."""
    process = get_context("fork").Process(target=_write, args=(folder, "new"))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_a_killed_export_leaves_no_bundle_and_the_next_one_sweeps_and_spares_others(tmp_path, monkeypatch):
    (tmp_path / ".partial-01234567-other-bundle").mkdir()
    monkeypatch.setattr(write, "_exchange", _die)
    monkeypatch.setattr(write.os, "replace", _die)
    _write_in_a_process(tmp_path / "bundle")
    monkeypatch.undo()
    assert not (tmp_path / "bundle").exists()
    assert len(list(tmp_path.glob(".partial-*"))) == 2
    _write(tmp_path / "bundle", "whole")
    assert [path.name for path in tmp_path.glob(".partial-*")] == [".partial-01234567-other-bundle"]


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_kill_while_two_bundles_change_places_leaves_one_of_them(tmp_path, monkeypatch, in_one_step):
    folder, exchange, replace = tmp_path / "bundle", write._exchange, os.replace
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    if in_one_step and not exchange(tmp_path / "one", tmp_path / "other"):
        pytest.skip("this file system or operating system cannot exchange two folders")
    for name in ("one", "other"):
        (tmp_path / name).rmdir()
    _write(folder, "old")
    monkeypatch.setattr(write, "_exchange", lambda *both: in_one_step and exchange(*both) and _die())
    monkeypatch.setattr(write.os, "replace", lambda one, other: _die() if other == folder else replace(one, other))
    _write_in_a_process(folder)
    monkeypatch.undo()
    assert folder.exists() == in_one_step
    with pytest.raises(OSError, match="No space left"):
        _write(folder, None)
    assert (folder / "bundle.json").read_text() == ("new" if in_one_step else "old")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bundle.lock", "bundle"]


def test_what_is_left_of_an_old_bundle_never_passes_for_one_and_is_in_nobodys_way(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "_exchange", lambda *_: False)
    monkeypatch.setattr(write.shutil, "rmtree", lambda *_, **__: None)  # a file of it is open, or a kill comes
    for content in ("one", "two", "three"):
        _write(tmp_path / "bundle", content)
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "bundle")
    with pytest.raises(OSError, match="No space left"):
        _write(tmp_path / "bundle", None)
    assert not (tmp_path / "bundle").exists()
    _write(tmp_path / "bundle", "four")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bundle.lock", "bundle"]
