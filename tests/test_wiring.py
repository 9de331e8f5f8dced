"""The shape of the project: dvc.yaml, pipelines/, params.yaml and the imports between modules agree."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from networkx import ancestors

from bmenet.config import Config, flatten, load_config
from bmenet.config.profiles import Profiles
from bmenet.runtime.code import module_file, reached_files

REPOSITORY = Path(__file__).parents[1]
STAGES: dict[str, dict] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
FILES = sorted([*(REPOSITORY / "bmenet").rglob("*.py"), *(REPOSITORY / "pipelines").glob("*.py")])

# Published weights come as pickle; torch's unpickler for tensors alone runs no code.
READS_TENSORS_ALONE = REPOSITORY / "bmenet/networks/brainldm.py"
# What MLflow copies into a published model; nothing imports it.
SERVED_CODE = "mlflow/enhance_model.py"
# Sections that tell where and how a result is recorded, never what it is.
RECORDING = {"profile", "tracking"}
# From the outside in; a module imports from its own ring or from one further in.
RINGS = (
    {"pipelines", "cli"},
    {"training", "evaluation", "tuning", "release", "serving", "tracking"},
    {"restoration"},
    {"networks", "diffusion", "losses", "registration", "degradation", "data"},
    {"imaging"},
    {"config", "runtime", "__init__"},
)
SEE_TRACKING = {"pipelines", "tuning", "release", "tracking", "cli"}


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
            modules = {member for member in members if module_file(member)}
            names |= modules if modules == members else modules | {node.module}
    return frozenset(names)


@cache
def _imported_files(path: Path) -> frozenset[Path]:
    """Return the project's files that a file imports itself."""
    return frozenset(target for name in _imported_names(path) if (target := module_file(name)) in FILES)


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
    return [param for param in STAGES[stage].get("params", []) if isinstance(param, str)]


def _outputs(stage: str) -> list[str]:
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in STAGES[stage].get(kind, [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def test_every_stage_is_a_file_of_the_same_name_and_has_the_hash_of_its_code():
    files = {path.stem for path in (REPOSITORY / "pipelines").glob("[a-z]*.py")}
    assert set(STAGES) == files
    for name, stage in STAGES.items():
        assert stage["cmd"] == f"python -m pipelines.{name}"
        assert name == "code" or {"code.json": [name]} in stage["params"]


@pytest.mark.parametrize("stage", STAGES)
def test_deps_of_a_stage_are_outputs_of_others_or_what_mlflow_is_given(stage):
    outputs = {output for name in STAGES for output in _outputs(name)}
    deps = {dep.replace("${evaluate.weights}", "weights") for dep in STAGES[stage].get("deps", [])}
    assert deps <= {SERVED_CODE, *outputs}


@pytest.mark.parametrize("stage", STAGES)
def test_params_of_a_stage_are_keys_of_the_configuration_and_cover_every_section_that_it_reads(stage):
    keys = set(flatten(load_config(REPOSITORY / "params.yaml")))
    for param in _params(stage):
        assert param in keys or any(key.startswith(f"{param}.") for key in keys), param
        assert param.split(".")[0] not in RECORDING
    listed = {param.split(".")[0] for param in _params(stage)}
    read = set().union(*map(_config_sections, reached_files(f"pipelines.{stage}")))
    assert read - RECORDING <= listed


def test_no_output_is_inside_another_or_belongs_to_git_and_dvc_at_once():
    outputs = sorted(output for stage in STAGES for output in _outputs(stage))
    assert len(set(outputs)) == len(outputs)
    for output in outputs:
        assert not _is_within(REPOSITORY / output, [other for other in outputs if other != output])


def test_the_params_in_git_are_the_demo_profile():
    assert Profiles(REPOSITORY).active() == "demo"


def _run_before(path: Path) -> set[Path]:
    """Return the files that Python runs for a file's imports: the imported ones, and the faces of their packages."""
    files = set(_imported_files(path))
    faces = {folder / "__init__.py" for file in files for folder in file.parents if folder not in path.parents}
    return files | (faces & set(FILES))


def test_modules_import_one_another_without_a_circle():
    try:
        TopologicalSorter({path: _run_before(path) for path in FILES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(str(path.relative_to(REPOSITORY)) for path in error.args[1]))


def _room(path: Path) -> str:
    """Return the room of a file: the folder of the package that it lies in, or `pipelines`."""
    top, *rest = path.relative_to(REPOSITORY).with_suffix("").parts
    return rest[0] if top == "bmenet" else top


def test_every_room_is_in_a_ring():
    assert {_room(path) for path in FILES} == set().union(*RINGS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_module_imports_only_inwards(path):
    ring = {room: number for number, rooms in enumerate(RINGS) for room in rooms}
    outward = {
        target
        for target in _imported_files(path)
        if ring[_room(target)] < ring[_room(path)] or (_room(target) == "tracking" and _room(path) not in SEE_TRACKING)
    }
    assert {str(target.relative_to(REPOSITORY)) for target in outward} == set()


def test_another_field_network_or_coarse_net_is_nothing_to_the_networks_that_see_clean_volumes_alone():
    graph = Repo(str(REPOSITORY)).index.graph  # from a stage to those whose outputs it reads
    field, coarse = (
        {stage.name for one in graph if one.name == name for stage in ancestors(graph, one)}
        for name in ("train_field", "train_coarse")
    )
    assert coarse == {"coarsen", "train_covariates", "train_fine", "tune", "export", "evaluate", "publish"}
    assert field == {"train_coarse", *coarse}


def test_rooms_import_one_another_without_a_circle():
    arrows: dict[str, set[str]] = {}
    for path in FILES:
        arrows.setdefault(_room(path), set()).update(map(_room, _imported_files(path)))
    TopologicalSorter({room: rooms - {room} for room, rooms in arrows.items()}).prepare()


def test_only_tracking_imports_mlflow():
    importing = {path for path in FILES if any(name.split(".")[0] == "mlflow" for name in _imported_names(path))}
    assert importing
    assert {path for path in importing if not _is_within(path, ["bmenet/tracking", "bmenet/release/registry"])} == set()
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
