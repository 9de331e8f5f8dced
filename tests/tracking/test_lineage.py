import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bmenet.tracking.lineage import code_tags, execution_key, input_hashes, without_places_and_people


@pytest.fixture
def scans(workspace):
    """A folder whose hash is known: printf the contents, then `dvc add scans` with DVC 3.67.1."""
    for name, content in {"z.txt": "one", "b/a.txt": "two", "b-c.txt": "three"}.items():
        Path("scans", name).parent.mkdir(parents=True, exist_ok=True)
        Path("scans", name).write_text(content)
    return "0501d46c86a23878f7b0765a572ffa74.dir"


@pytest.mark.parametrize(("size", "is_current"), [(11, True), (12, False)])
def test_input_hash_is_what_dvc_says_and_comes_from_dvc_lock_where_that_is_current(scans, size, is_current):
    entry = {"path": "scans", "md5": "from-lock.dir", "size": size, "nfiles": 3}
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"fetch": {"outs": [entry]}}}))
    assert input_hashes([Path("scans")]) == {"scans": "from-lock.dir" if is_current else scans}


def test_input_hash_names_the_workspace_path_and_nothing_above_it(scans, tmp_path_factory):
    outside = tmp_path_factory.mktemp("someone") / "scan.txt"
    outside.write_text("one")
    assert set(input_hashes([Path("scans/z.txt").absolute(), outside, "missing"])) == {"scans/z.txt", "scan.txt"}


def test_execution_is_named_or_the_dvc_process_above_or_one_of_its_own(workspace, monkeypatch):
    monkeypatch.delenv("BMENET_EXECUTION", raising=False)
    assert execution_key() != execution_key()
    code = "from bmenet.tracking.lineage import execution_key; print(execution_key())"
    dvc = workspace / "dvc"
    dvc.write_text(f'#!/bin/sh\n{sys.executable} -c "{code}"\n{sys.executable} -c "{code}"\n')
    dvc.chmod(0o755)
    keys = [subprocess.run([dvc], capture_output=True, text=True, check=True).stdout.split() for _ in range(2)]
    assert keys[0][0] == keys[0][1]
    assert keys[1][0] == keys[1][1]
    assert keys[0] != keys[1]
    monkeypatch.setenv("BMENET_EXECUTION", "night")
    assert execution_key() == execution_key()


def test_code_is_not_dirty_for_what_the_pipeline_writes_and_has_no_tags_outside_a_repository(workspace, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(workspace.parent))
    assert code_tags() == {}
    Path("reports").mkdir()
    for name in ("dvc.lock", "reports/metrics.json"):
        Path(name).write_text("before")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "start"]):
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", *command], check=True)
    for name in ("dvc.lock", "reports/metrics.json"):
        Path(name).write_text("after")
    assert code_tags()["git.dirty"] == "false"
    Path("params.yaml").write_text("after")
    assert code_tags()["git.dirty"] == "true"


def test_subjects_given_by_name_are_only_counted():
    shown = without_places_and_people({"data.sources.1.subjects": ["sub-canary", "sub-02"], "seed": 1})
    assert shown == {"data.sources.1.subjects": "2 by name", "seed": 1}
    assert without_places_and_people({"data.sources.0.subjects": 5}) == {"data.sources.0.subjects": 5}
