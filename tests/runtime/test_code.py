import ast
import shutil
from pathlib import Path

import pytest

from bmenet.runtime.code import CANNOT_CHANGE_A_RESULT, code_hash, module_file, reached_files

REPOSITORY = Path(__file__).parents[2]
STAGES = sorted(path.stem for path in (REPOSITORY / "pipelines").glob("[a-z]*.py") if path.stem != "code")


@pytest.fixture
def edited(tmp_path):
    """Return a function that copies the project, edits one file of it, and tells which stages' hashes changed."""

    def edit(name: str, old: str, new: str) -> set[str]:
        for folder in ("bmenet", "pipelines"):
            shutil.copytree(
                REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("weights", "__pycache__")
            )
        path = tmp_path / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        return {
            stage
            for stage in STAGES
            if code_hash(f"pipelines.{stage}", root=tmp_path) != code_hash(f"pipelines.{stage}")
        }

    return edit


@pytest.mark.parametrize(
    ("old", "new"),
    [('"""', '"""Reworded. '), ("\ndef ", "\n# A comment.\ndef "), ("(", "(\n    ")],
    ids=["docstring", "comment", "layout"],
)
def test_reworded_file_changes_no_hash(edited, old, new):
    assert edited("bmenet/imaging/brain.py", old, new) == set()


def test_changed_constant_changes_the_hashes_of_just_its_stages(edited):
    changed = edited("bmenet/degradation/rician_noise.py", "return", "return 1 *")
    assert changed == {
        stage
        for stage in STAGES
        if module_file("bmenet.degradation.rician_noise") in reached_files(f"pipelines.{stage}")
    }
    assert {"degrade", "train_coarse"} <= changed
    assert not changed & {"fetch", "register", "split", "train_autoencoder"}


def test_what_only_shows_or_records_changes_no_hash(edited):
    assert edited("bmenet/runtime/progress.py", "console", "terminal") == set()


def test_a_table_beside_a_module_counts(edited):
    assert {"evaluate", "tune"} <= edited("bmenet/evaluation/segmentation/freesurfer_labels.csv", ",", ";")


def test_packages_of_others_are_not_followed_nor_the_siblings_of_a_module(tmp_path):
    assert module_file("bmenet.degradation.motion") not in reached_files("bmenet.degradation.rician_noise")
    (tmp_path / "bmenet").mkdir()
    (tmp_path / "bmenet" / "own.py").write_text("import bmenet.other\nimport numpy.linalg\n")
    (tmp_path / "bmenet" / "other.py").write_text("")
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "linalg.py").write_text("")
    reached = reached_files("bmenet.own", root=tmp_path)
    assert {path.name for path in reached} == {"own.py", "other.py"}


def test_every_module_that_is_hashed_or_does_not_count_exists():
    assert all(map(module_file, CANNOT_CHANGE_A_RESULT))
    for path in (REPOSITORY / "bmenet").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "code_hash":
                for argument in node.args:
                    if isinstance(argument, ast.Constant):
                        assert module_file(argument.value), (path, argument.value)
    with pytest.raises(ModuleNotFoundError, match=r"bmenet\.nothing"):
        code_hash("bmenet.nothing")
