"""`bmenet export`, and a bundle as the model of `bmenet enhance`."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bmenet.restoration.onnx_runtime import Sessions
from bmenet.restoration.providers import gpu_names
from tests.bundled import save_networks, smoke_bundle


@pytest.fixture
def bundle(workspace: Path) -> Path:
    return Path(shutil.copytree(smoke_bundle(), workspace / "weights" / "bundle"))


def test_a_damaged_bundle_is_refused_before_the_scan_is_touched_and_no_gpu_has_its_own_exit_code(
    scan_path, bundle, bmenet
):
    if not gpu_names():
        result = bmenet("export", "--tensorrt")
        assert result.exit_code == 3
        assert "TensorRT: skipped: no GPU" in result.stderr
    path = bundle / "onnx" / "fp32" / "decoder.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    result = bmenet("enhance", scan_path, "out.nii.gz", "--model", bundle)
    assert result.exit_code == 1
    assert "decoder.onnx: expected" in result.stderr


def test_export_says_what_to_train_and_never_replaces_other_files(workspace, bmenet):
    result = bmenet("export")
    assert result.exit_code == 1
    assert "dvc repro train_coarse" in result.stderr
    save_networks(workspace / "weights")
    (workspace / "results").mkdir()
    (workspace / "results" / "thesis.txt").write_text("years of work")
    assert bmenet("export", "--out", "results").exit_code == 1
    assert [path.name for path in (workspace / "results").iterdir()] == ["thesis.txt"]


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
@pytest.mark.parametrize(("options", "ran"), [((), {"field", "coarse"}), (("--runtime", "torch"), set())])
def test_a_bundle_runs_with_onnx_where_nobody_says_otherwise(scan_path, bundle, bmenet, monkeypatch, options, ran):
    seen, run = set(), Sessions.run
    monkeypatch.setattr(Sessions, "run", lambda *arguments: seen.add(arguments[1]) or run(*arguments))
    assert bmenet("enhance", scan_path, "out.nii.gz", "--model", "weights/bundle", *options).exit_code == 0
    assert seen == ran


@pytest.mark.usefixtures("lone_brain")
@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        (("--providers", "rocm,cpu"), 1, "expected some of tensorrt, cuda, cpu; got rocm"),
        (("--runtime", "torch", "--providers", "cpu"), 2, "runtime onnx with it; got torch"),
        (("--runtime", "torch", "--precision", "fp16"), 2, "runtime onnx with it; got torch"),
        (
            ("--runtime", "onnx", "--model", "weights/bundle/weights/coarse"),
            1,
            "a bundle with graphs for the runtime onnx",
        ),
    ],
)
def test_a_runtime_that_cannot_do_it_says_so(workspace, scan_path, bundle, bmenet, options, code, word):
    result = bmenet("enhance", scan_path, "out.nii.gz", "--model", bundle, *options)
    assert result.exit_code == code
    assert word in " ".join(result.stderr.replace("│", " ").split())
    assert not (workspace / "out.nii.gz").exists()
