"""`bmenet export`, and a bundle as the model of `bmenet enhance`."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bmenet.restoration.onnx.providers import gpu_names
from bmenet.restoration.onnx.session import Sessions
from tests.bundled import save_networks, smoke_bundle


@pytest.fixture
def bundle(workspace: Path) -> Path:
    return Path(shutil.copytree(smoke_bundle(), workspace / "weights" / "bundle"))


def test_export_without_weights_says_what_to_train(workspace, bmenet):
    result = bmenet("export")
    assert result.exit_code == 1
    assert "dvc repro train_coarse" in result.stderr
    assert not (workspace / "weights" / "bundle").exists()


@pytest.mark.skipif(bool(gpu_names()), reason="has a GPU")
def test_tensorrt_without_a_gpu_has_its_own_exit_code(bundle, bmenet):
    result = bmenet("export", "--tensorrt")
    assert result.exit_code == 3
    assert "TensorRT: skipped: no GPU" in result.stderr


def test_help_names_that_exit_code(bmenet):
    assert "Exit code 3" in " ".join(bmenet("export", "--help").stdout.replace("│", " ").split())


@pytest.mark.usefixtures("lone_brain")
def test_enhance_with_onnx_is_enhance_with_torch(workspace, scan_path, bundle, bmenet):
    for name, runtime in (("a", "torch"), ("b", "onnx")):
        command = ("enhance", scan_path, f"{name}.nii.gz", "--model", bundle, "--runtime", runtime, "--stage", "fine")
        assert bmenet(*command, "--seed", "3", "--device", "cpu").exit_code == 0
    one, other = (nib.load(f"{name}.nii.gz").get_fdata() for name in "ab")
    assert np.abs(one - other).max() > 0  # each has rounded in its own way
    # torch computes in bfloat16 where the machine can
    assert np.abs(one - other).mean() < 0.01 * one.max()


@pytest.mark.usefixtures("lone_brain")
def test_enhance_takes_the_workspace_s_bundle_when_it_is_named(workspace, scan_path, bundle, bmenet):
    result = bmenet("enhance", scan_path, "out.nii.gz", "--model", "weights/bundle")
    assert result.exit_code == 0, result.stderr
    assert (workspace / "out.nii.gz").exists()


def test_weights_alone_do_for_torch_only(workspace, scan_path, bmenet):
    save_networks(workspace / "weights")
    result = bmenet(
        "enhance", scan_path, "out.nii.gz", "--runtime", "onnx", "--model", workspace / "weights" / "coarse"
    )
    assert result.exit_code == 1
    assert "expected a bundle with graphs for the runtime onnx" in result.stderr
    assert not (workspace / "out.nii.gz").exists()


def test_a_damaged_bundle_is_refused_before_the_scan_is_touched(workspace, scan_path, bundle, bmenet):
    path = bundle / "onnx" / "fp32" / "decoder.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    result = bmenet("enhance", scan_path, "out.nii.gz", "--model", bundle)
    assert result.exit_code == 1
    assert "decoder.onnx: expected" in result.stderr


@pytest.mark.usefixtures("lone_brain")
def test_unknown_provider_is_told_with_the_known_ones(workspace, scan_path, bundle, bmenet):
    result = bmenet("enhance", scan_path, "out.nii.gz", "--model", bundle, "--providers", "rocm,cpu")
    assert result.exit_code == 1
    assert "expected some of tensorrt, cuda, cpu; got rocm" in result.stderr


@pytest.mark.usefixtures("lone_brain")
def test_a_bundle_runs_with_onnx_where_nobody_says_otherwise(workspace, scan_path, bundle, bmenet, monkeypatch):
    ran = []
    run = Sessions.run
    monkeypatch.setattr(Sessions, "run", lambda *arguments: ran.append(arguments[1]) or run(*arguments))
    assert bmenet("enhance", scan_path, "out.nii.gz", "--model", bundle).exit_code == 0
    assert set(ran) == {"coarse"}
    ran.clear()
    assert bmenet("enhance", scan_path, "out.nii.gz", "--model", bundle, "--runtime", "torch").exit_code == 0
    assert ran == []


@pytest.mark.parametrize("option", [("--providers", "cpu"), ("--precision", "fp16")])
def test_what_torch_has_not_is_wrong_use_with_it(workspace, scan_path, bundle, bmenet, option):
    result = bmenet("enhance", scan_path, "out.nii.gz", "--model", bundle, "--runtime", "torch", *option)
    assert result.exit_code == 2
    assert "runtime onnx with it; got torch" in " ".join(result.stderr.replace("│", " ").split())


def test_export_never_replaces_other_files(workspace, bmenet):
    save_networks(workspace / "weights")
    (workspace / "results").mkdir()
    (workspace / "results" / "thesis.txt").write_text("years of work")
    result = bmenet("export", "--out", "results")
    assert result.exit_code == 1
    assert (workspace / "results" / "thesis.txt").exists()
