"""The whole DVC pipeline on the smoke profile, in a clean clone: run once, then changed one parameter at a time."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from bmenet.restoration.providers import gpu_names

REPOSITORY = Path(__file__).parents[1]
# A minute or two on two free cores.
pytestmark = pytest.mark.timeout(1200)
STAGES = [stage for stage in yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"] if stage != "code"]


def _run(*command: str, folder: Path) -> str:
    """Run a command in `folder` with this environment's programs; return what it wrote to stdout."""
    scripts = str(Path(sys.executable).parent)
    place = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "BMENET_"))}
    settings = {
        "PATH": os.pathsep.join([scripts, os.environ["PATH"]]),
        **{f"GIT_{role}_{part}": "test" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")},
    }
    done = subprocess.run(command, cwd=folder, env=place | settings, capture_output=True, text=True, timeout=1000)
    assert done.returncode == 0, f"{' '.join(command)} exited with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _repro(folder: Path) -> list[str]:
    """Run the pipeline; return the stages that ran after `code`, which always does."""
    first, *others = re.findall(r"Running stage '(\w+)'", _run("dvc", "repro", folder=folder))
    assert first == "code"
    return others


def _stale(folder: Path) -> list[str]:
    """Return the stages that `dvc repro` would run, sorted, by the code as it was hashed last."""
    status = json.loads(_run("dvc", "status", "--json", folder=folder))
    assert status.pop("code") == ["always changed"]
    return sorted(status)


def _set(folder: Path, old: str, new: str) -> None:
    params = folder / "params.yaml"
    text = params.read_text()
    assert text.count(old) == 1
    params.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A clean clone with this checkout's changes, where the whole pipeline has run on the smoke profile."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("needs a git checkout")
    folder = tmp_path_factory.mktemp("clone") / "bmenet"
    _run("git", "clone", "--quiet", "--no-checkout", str(REPOSITORY), str(folder), folder=REPOSITORY)
    names = _run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder=REPOSITORY).split("\0")
    for name in names:
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    _run("git", "add", "--all", folder=folder)
    _run("git", "commit", "--quiet", "--allow-empty", "--message", "clone", folder=folder)
    _run("bmenet", "profile", "smoke", "--force", folder=folder)
    assert _repro(folder) == STAGES
    return folder


def test_every_output_is_there_and_the_metrics_are_numbers(clone):
    for stage in yaml.safe_load((clone / "dvc.yaml").read_text())["stages"].values():
        for entry in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
            path = clone / (entry if isinstance(entry, str) else next(iter(entry)))
            assert path.exists(), path
            assert path.is_dir() or path.stat().st_size > 0, path
    split = json.loads((clone / "data" / "split.json").read_text())
    assert [len(split[subset]) for subset in ("train", "validation", "test")] == [2, 1, 1]


@pytest.mark.skipif(bool(gpu_names()), reason="has a GPU")
def test_without_a_gpu_the_export_says_that_tensorrt_was_skipped(clone):
    metrics = json.loads((clone / "reports" / "export" / "metrics.json").read_text())
    assert metrics["tensorrt"] == "skipped: no GPU"
    assert "skipped: no GPU" in _run("dvc", "metrics", "show", folder=clone)
    with closing(sqlite3.connect(clone / "mlflow" / "mlflow.db")) as store:
        (value,) = store.execute("SELECT value FROM tags WHERE key = 'tensorrt'").fetchone()
    assert value == "skipped: no GPU"


def test_the_first_bundle_is_registered_and_champion(clone):
    (version,) = json.loads(_run("bmenet", "registry", "list", "--json", folder=clone))
    assert sorted(version["aliases"]) == ["challenger", "champion"]
    assert version["reasons"] == "there was no champion: the first model becomes it"
    manifest = json.loads((clone / "weights" / "bundle" / "bundle.json").read_text())
    assert manifest["lineage"]["git.commit"] == _run("git", "rev-parse", "HEAD", folder=clone).strip()
    assert version["tags"]["lineage.dvc.md5.data/split.json"] == manifest["lineage"]["dvc.md5.data/split.json"]


def test_a_run_leaves_nothing_for_git_but_the_lock_and_the_reports(clone):
    changed = {line[3:] for line in _run("git", "status", "--porcelain", folder=clone).splitlines()}
    assert "dvc.lock" in changed
    assert {name for name in changed if not name.startswith("reports/")} <= {"dvc.lock", "params.yaml"}


def test_a_second_run_changes_nothing(clone):
    assert _repro(clone) == []


def test_going_back_to_settings_that_were_run_before_trains_nothing(clone):
    weights = (clone / "weights" / "field" / "model.safetensors").read_bytes()
    _set(clone, "res_units: 0", "res_units: 1")
    _run("dvc", "repro", "train_field", folder=clone)
    assert (clone / "weights" / "field" / "model.safetensors").read_bytes() != weights
    _set(clone, "res_units: 1", "res_units: 0")
    told = _run("dvc", "repro", "train_field", folder=clone)
    assert "Stage 'train_field' is cached - skipping run" in told
    assert (clone / "weights" / "field" / "model.safetensors").read_bytes() == weights
    assert _stale(clone) == []


def test_every_stage_that_trains_is_remembered_by_the_run_cache():
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    training = {name: stage for name, stage in stages.items() if name.startswith("train_") or name == "tune"}
    assert len(training) == 8
    for name, stage in training.items():
        assert all(isinstance(out, str) for out in stage["outs"]), name


@pytest.mark.parametrize(
    ("old", "new", "stages"),
    [
        ("bootstrap: 200", "bootstrap: 300", ["evaluate", "publish", "tune"]),
        ("res_units: 0", "res_units: 1", ["train_field"]),
        ("edge_weight: 1.0", "edge_weight: 1.5", ["train_coarse", "tune"]),
        ("power: 1.0", "power: 2.0", ["evaluate", "export", "tune"]),
        ("edge_dropout: 0.2", "edge_dropout: 0.3", ["train_fine", "tune"]),
        ("psnr_db: 20.8", "psnr_db: 20.9", ["degrade"]),
        ("opset: 20", "opset: 21", ["export"]),
        ("metric: psnr_brain", "metric: ssim_brain", ["publish"]),
        ("experiment: bmenet", "experiment: other", []),
    ],
)
def test_a_changed_parameter_touches_only_the_stages_that_read_it(clone, old, new, stages):
    _set(clone, old, new)
    try:
        assert _stale(clone) == stages
    finally:
        _set(clone, new, old)


def test_a_changed_parameter_reruns_only_what_depends_on_it(clone):
    digest = json.loads(_run("bmenet", "registry", "list", "--json", folder=clone))[0]["digest"]
    _set(clone, "opset: 20", "opset: 21")
    assert _repro(clone) == ["export", "publish"]
    # Another bundle is registered; one validation subject is no evidence that it is better.
    first, second = json.loads(_run("bmenet", "registry", "list", "--json", folder=clone))
    assert (first["aliases"], second["aliases"]) == (["champion"], ["challenger"])
    assert second["decision"] == "kept"
    assert second["digest"] != first["digest"] == digest


@pytest.mark.parametrize(
    ("module", "old", "new", "stages"),
    [
        ("imaging/grid.py", '"""', '"""Reworded: ', []),
        ("evaluation/baselines.py", "\n\nfrom ", "\n\n# A comment.\nfrom ", []),
        ("evaluation/bootstrap.py", "return ", "return 0 or ", ["evaluate", "publish", "tune"]),
        ("release/export/rewrite.py", "return ", "return 0 or ", ["export"]),
        ("data/split.py", "return ", "return 0 or ", ["split"]),
    ],
)
def test_edited_code_makes_just_the_stages_stale_that_run_it(clone, module, old, new, stages):
    path = clone / "bmenet" / module
    text = path.read_text()
    path.write_text(text.replace(old, new, 1))
    _run("dvc", "repro", "code", folder=clone)
    try:
        assert _stale(clone) == stages
    finally:
        path.write_text(text)
