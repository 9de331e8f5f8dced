"""`bmenet tune`: it searches, shows, goes on where it was stopped, and writes into params.yaml only if asked to."""

import signal
import subprocess
import sys
import time

import pytest
import yaml

from bmenet.config import flatten, load_config
from bmenet.runtime.files import read_json
from bmenet.tuning import run
from bmenet.tuning.study import counted, load_study, open_study
from bmenet.tuning.trial import TrialRunner
from tests.stores import add_store
from tests.tuned import fill_workspace, plan_of, scaled, states, write_values

COMMENT = "# what a person wrote, and wants to keep"


@pytest.fixture
def tuned(workspace, phantom, monkeypatch):
    """A workspace that can be tuned, with a tracking store; the profile smoke is what params.yaml is."""
    fill_workspace(workspace, phantom, monkeypatch)
    add_store(workspace)
    return workspace


@pytest.fixture
def here(tuned, monkeypatch):
    """Let trials run in this process, and compute nothing: the strongest guidance is best."""
    monkeypatch.setattr(run, "run_study", lambda plan, study, workers: TrialRunner(plan, scaled).run(study))
    return tuned


def test_the_best_values_are_shown_and_nothing_is_changed(here, bmenet):
    before = (here / "params.yaml").read_bytes()
    result = bmenet("tune", "--trials", 4)
    assert result.exit_code == 0
    assert "sampling.guidance.scale" in result.stdout
    assert "psnr_brain" in result.stdout
    assert (here / "params.yaml").read_bytes() == before
    assert (here / "reports" / "tune" / "study.html").exists()
    study = load_study(plan_of(here))
    assert states(study) == ["complete"] * 4
    # The same call runs nothing again; a larger budget goes on.
    assert bmenet("tune", "--trials", 4).exit_code == 0
    assert len(study.trials) == 4
    assert bmenet("tune", "--trials", 5, "--sampler", "random").exit_code == 0
    assert len(study.trials) == 5
    result = bmenet("tune", "--trials", 5, "--trial", 7)
    assert result.exit_code == 1
    assert "got 7" in result.stderr


def test_apply_changes_what_was_searched_and_keeps_the_rest(here, bmenet):
    path = here / "params.yaml"
    path.write_text(f"{COMMENT}\n{path.read_text()}")
    before, text = flatten(load_config()), path.read_text()
    result = bmenet("tune", "--trials", 5, "--apply")
    assert result.exit_code == 0
    assert "dvc repro" in result.stdout
    best = yaml.safe_load((here / "reports" / "tune" / "best_params.yaml").read_text())
    after = flatten(load_config())
    assert {key: after[key] for key in best} == best
    assert {key: value for key, value in after.items() if key not in best} == {
        key: value for key, value in before.items() if key not in best
    }
    assert after["sampling.guidance.scale"] > before["sampling.guidance.scale"]
    assert path.read_text().startswith(COMMENT)
    assert len(path.read_text().splitlines()) == len(text.splitlines())

    once = path.read_bytes()
    again = bmenet("tune", "--trials", 5, "--apply")
    assert again.exit_code == 0
    assert "params.yaml has the best values already" in again.stdout
    assert path.read_bytes() == once


def test_of_a_front_a_person_chooses(here, bmenet):
    before = (here / "params.yaml").read_bytes()
    options = ("tune", "--trials", 3, "--objective", "quality", "--objective", "seconds", "--pruner", "none")
    result = bmenet(*options, "--apply")
    assert result.exit_code == 1
    assert "--trial" in result.stderr
    assert (here / "params.yaml").read_bytes() == before
    result = bmenet(*options, "--apply", "--trial", 2)
    assert result.exit_code == 0
    chosen = read_json(here / "reports" / "tune" / "study.json")["best"]
    assert chosen["trial"] == 2
    assert flatten(load_config()).items() >= chosen["params"].items()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--objective", "beauty"), "beauty"),
        (("--sampler", "luck"), "tune.sampler"),
        (("--objective", "quality", "--objective", "seconds", "--sampler", "cmaes"), "cmaes"),
        (("--storage", "nonsense"), "--storage"),
        (("--trials", 0), "raise --trials"),
    ],
)
def test_what_makes_no_sense_is_refused(here, bmenet, options, named):
    result = bmenet("tune", *options)
    assert result.exit_code == 1
    assert named in result.stderr
    assert "Traceback" not in result.stderr
    assert not (here / "reports" / "tune" / "study.html").exists()


def test_after_ctrl_c_nothing_runs_and_the_same_call_goes_on(tuned, monkeypatch, bmenet):
    write_values(tuned, {"sampling.samples": 8})  # a trial takes a second
    command = [sys.executable, "-c", "from bmenet.cli import app; app()", "tune", "--workers", "2", "--trials", "500"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    plan = plan_of(tuned)
    try:
        deadline = time.monotonic() + 300  # its processes import torch, on a busy machine side by side
        study = open_study(plan)
        while "complete" not in states(study):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=240)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "interrupted" in errors
    done = len(counted(study))
    assert 1 <= done < 500
    assert "running" not in states(study)
    assert read_json(tuned / "reports" / "tune" / "study.json")["states"]["complete"] >= 1

    monkeypatch.setattr(run, "run_study", lambda plan, study, workers: TrialRunner(plan, scaled).run(study))
    assert bmenet("tune", "--trials", done + 3).exit_code == 0
    assert len(counted(study)) == done + 3
    assert "waiting" not in states(study)
