"""The shape of the project: dvc.yaml, pipelines/, params.yaml and the imports between modules agree."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import yaml

from bmenet.config import Config, flatten, load_config

REPOSITORY = Path(__file__).parents[1]
STAGES: dict[str, dict] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
FILES = sorted([*(REPOSITORY / "bmenet").rglob("*.py"), *(REPOSITORY / "pipelines").glob("*.py")])

# Modules that move, name or show results but cannot change them: an edit there reruns no stage.
PLUMBING = (
    *("bmenet/cli", "bmenet/config", "bmenet/tracking", "bmenet/__init__.py", "pipelines/__init__.py"),
    *(f"bmenet/{name}.py" for name in ("errors", "figures", "files", "layout", "parallel", "progress", "threads")),
)
# Published weights come as pickle; torch's unpickler for tensors alone runs no code.
READS_TENSORS_ALONE = REPOSITORY / "bmenet/networks/brainldm.py"
# What MLflow copies into a published model; nothing imports it.
SERVED_CODE = "mlflow/enhance_model.py"
# Sections that tell where and how a result is recorded, never what it is.
RECORDING = {"profile", "tracking"}
# From the outside in; a module imports from its own ring or from one further in.
RINGS = (
    {"pipelines", "cli"},
    {
        *("training", "inference", "evaluation", "matched", "tuning", "export", "serving", "publishing", "releasing"),
        "tracking",
    },
    {
        *(
            "models",
            "augmentation",
            "diffusion",
            "losses",
            "metrics",
            "baselines",
            "data",
            "degradation",
            "registration",
            "scan",
        ),
        *("augmentation", "figures", "segmentation", "quality", "report", "bundle", "released"),
    },
)


def _path(module: str) -> Path | None:
    """Return the file of a module of this project, if there is one."""
    base = REPOSITORY.joinpath(*module.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path in FILES), None)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def _imported_names(path: Path) -> frozenset[str]:
    """Return every module that a file imports, at its top or inside a function, as a dotted name."""
    names: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {member for member in members if _path(member)}
            names |= modules if modules == members else modules | {node.module}
    return frozenset(names)


@cache
def _imported_files(path: Path) -> frozenset[Path]:
    """Return the project's files that a file imports itself."""
    return frozenset(target for name in _imported_names(path) if (target := _path(name)))


def _reached_files(path: Path) -> set[Path]:
    """Return the project's files that a file imports, directly or not, plumbing left out, itself included.

    The ``__init__.py`` above an imported module is left out: it holds names and tables, which the module does not use.
    """
    reached: set[Path] = set()
    todo = [path]
    while todo:
        current = todo.pop()
        if current not in reached and not _is_within(current, PLUMBING):
            reached.add(current)
            todo += _imported_files(current)
    return {path for path in reached if _has_code(path)}


def _has_code(path: Path) -> bool:
    """Tell whether a file holds more than a docstring."""
    return any(not isinstance(node, ast.Expr) for node in _tree(path).body)


def _is_within(path: Path, places: tuple[str, ...] | list[str]) -> bool:
    return any(path == REPOSITORY / place or REPOSITORY / place in path.parents for place in places)


def _config_sections(path: Path) -> set[str]:
    """Return every section that a file reads as ``config.<section>``."""
    return {
        node.attr
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "config" and node.attr in Config.model_fields
    }


def _params(stage: str) -> list[str]:
    return STAGES[stage].get("params", [])


def _outputs(stage: str) -> list[str]:
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in STAGES[stage].get(kind, [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def test_every_stage_is_a_file_of_the_same_name_and_the_reverse():
    files = {path.stem for path in (REPOSITORY / "pipelines").glob("[a-z]*.py")}
    assert set(STAGES) == files
    for name, stage in STAGES.items():
        assert stage["cmd"] == f"python -m pipelines.{name}"
        assert f"pipelines/{name}.py" in stage["deps"]


@pytest.mark.parametrize("stage", STAGES)
def test_params_of_a_stage_are_keys_of_the_configuration(stage):
    keys = set(flatten(load_config(REPOSITORY / "params.yaml")))
    for param in _params(stage):
        assert param in keys or any(key.startswith(f"{param}.") for key in keys), param
        assert param.split(".")[0] not in RECORDING


@pytest.mark.parametrize("stage", STAGES)
def test_params_of_a_stage_cover_every_section_that_it_reads(stage):
    listed = {param.split(".")[0] for param in _params(stage)}
    read = set().union(*map(_config_sections, _reached_files(REPOSITORY / f"pipelines/{stage}.py")))
    assert read - RECORDING <= listed


@pytest.mark.parametrize("stage", STAGES)
def test_deps_of_a_stage_cover_every_module_that_it_imports(stage):
    deps = STAGES[stage]["deps"]
    missing = {path for path in _reached_files(REPOSITORY / f"pipelines/{stage}.py") if not _is_within(path, deps)}
    assert {str(path.relative_to(REPOSITORY)) for path in missing} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_deps_of_a_stage_are_outputs_or_modules_that_it_imports(stage):
    outputs = {output for name in STAGES for output in _outputs(name)}
    reached = _reached_files(REPOSITORY / f"pipelines/{stage}.py")
    for dep in STAGES[stage]["deps"]:
        assert dep in {SERVED_CODE, *outputs} or any(_is_within(path, [dep]) for path in reached), dep


def test_no_output_is_inside_another_or_belongs_to_git_and_dvc_at_once():
    outputs = sorted(output for stage in STAGES for output in _outputs(stage))
    assert len(set(outputs)) == len(outputs)
    for output in outputs:
        assert not _is_within(REPOSITORY / output, [other for other in outputs if other != output])


def test_the_params_in_git_are_the_demo_profile():
    assert (REPOSITORY / "params.yaml").read_bytes() == (REPOSITORY / "params" / "demo.yaml").read_bytes()


def test_modules_import_one_another_without_a_circle():
    try:
        TopologicalSorter({path: _imported_files(path) for path in FILES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(str(path.relative_to(REPOSITORY)) for path in error.args[1]))


def _ring(path: Path) -> int:
    """Return the ring of a file, 0 the outermost."""
    top, *rest = path.relative_to(REPOSITORY).with_suffix("").parts
    name = rest[0] if top == "bmenet" else top
    return next((ring for ring, names in enumerate(RINGS) if name in names), len(RINGS))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_module_imports_only_inwards(path):
    outward = [target for target in _imported_files(path) if _ring(target) < _ring(path)]
    assert [str(target.relative_to(REPOSITORY)) for target in outward] == []


def test_only_tracking_imports_mlflow():
    importing = {path for path in FILES if any(name.split(".")[0] == "mlflow" for name in _imported_names(path))}
    assert importing
    assert {path for path in importing if not _is_within(path, ["bmenet/tracking"])} == set()
    assert not (REPOSITORY / "mlflow" / "__init__.py").exists()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_module_never_loads_a_file_that_can_run_code(path):
    roots = {name.split(".")[0] for name in _imported_names(path)}
    assert not roots & {"dill", "marshal", "shelve"}
    assert not roots & {"pickle"} or path == READS_TENSORS_ALONE
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in {"torch.save", "joblib.load", "pickle.load", "pickle.loads"}
            if name == "torch.load":
                assert path == READS_TENSORS_ALONE
                assert "weights_only=True" in map(ast.unparse, node.keywords)
            assert "allow_pickle=True" not in map(ast.unparse, node.keywords)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_mask_says_what_of(path):
    arguments = {node.arg for node in ast.walk(_tree(path)) if isinstance(node, ast.arg)}
    stored = {
        node.id for node in ast.walk(_tree(path)) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    assert "mask" not in arguments | stored
