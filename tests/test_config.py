import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from bmenet.config import Config, flatten, load_config, parse_config
from bmenet.errors import ConfigError

REPOSITORY = Path(__file__).parents[1]
PROFILES = sorted((REPOSITORY / "params").glob("*.yaml"))


@pytest.fixture
def raw() -> dict:
    return yaml.safe_load((REPOSITORY / "params" / "smoke.yaml").read_text())


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_profile_is_valid_complete_and_names_itself(path, raw):
    config = load_config(path)
    assert config.profile == path.stem
    assert flatten(config).keys() == flatten(parse_config(raw)).keys()
    assert config.degradation.presets.keys() == {"mild", "moderate", "severe"}


def test_profiles_are_the_four_documented_ones():
    assert [path.stem for path in PROFILES] == ["demo", "full", "paper", "smoke"]


def test_profiles_share_one_degradation_model():
    first, *others = [load_config(path).degradation for path in PROFILES]
    assert all(other == first for other in others)


def test_config_is_frozen_at_every_depth(raw):
    config = parse_config(raw)
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 1
    with pytest.raises(ValidationError, match="frozen"):
        config.degradation.presets["mild"].noise.sigma.low = 0.0


def _set(raw: dict, key: str, value: object) -> dict:
    *parents, last = key.split(".")
    for parent in parents:
        raw = raw[parent]
    raw[last] = value
    return raw


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("coarse.edge_wieght", 1.0, r"coarse\.edge_wieght: unknown key"),
        ("coarses", {}, r"coarses: unknown key"),
        ("coarse.steps", "many", r"coarse\.steps: expected .*integer; got 'many'"),
        ("coarse.steps", "24", r"coarse\.steps: expected .*integer; got '24'"),
        ("coarse.steps", 24.5, r"coarse\.steps: expected .*integer.*24\.5"),
        ("coarse.steps", True, r"coarse\.steps: expected .*integer; got True"),
        ("coarse.steps", 0, r"coarse\.steps: expected greater than or equal to 1; got 0"),
        ("coarse.learning_rate", -1.0, r"coarse\.learning_rate: expected greater than 0; got -1\.0"),
        ("coarse.arch", "resnet", r"coarse\.arch: expected 'unet' or 'swinir'; got 'resnet'"),
        ("coarse.context_slices", 4, r"coarse: context_slices: expected an odd number; got 4"),
        ("coarse.planes", ["axial", "axial"], r"coarse: planes: expected one to three distinct planes"),
        ("grid.spacing_mm", 3, r"grid\.spacing_mm: expected 1, 2 or 4; got 3"),
        ("seed", -1, r"seed: expected greater than or equal to 0; got -1"),
        ("degradation.codes", ["11"], r"degradation\.codes\.0: expected .*'11'|degradation\.codes\.0: .*pattern"),
        ("degradation.codes", ["000"], r"degradation: codes: expected distinct non-zero codes"),
        ("degradation.presets.mild.noise.sigma", [0.2, 0.1], r"presets\.mild\.noise\.sigma: expected \[low, high\]"),
        ("evaluate", None, r"evaluate: expected .*; got None"),
    ],
)
def test_wrong_value_is_named_with_expected_and_got(raw, key, value, message):
    _set(raw, key, value)
    with pytest.raises(ConfigError, match=message):
        parse_config(raw)


@pytest.mark.parametrize("key", ["seed", "coarse.steps", "degradation.presets.mild.bias.order", "evaluate"])
def test_missing_key_is_named(raw, key):
    parent = _set(raw, key, None)
    del parent[key.split(".")[-1]]
    with pytest.raises(ConfigError, match=rf"{key}: missing key".replace(".", r"\.")):
        parse_config(raw)


def test_every_wrong_key_is_named_at_once(raw):
    raw["sede"] = raw.pop("seed")
    raw["coarse"]["steps"] = 0
    with pytest.raises(ConfigError, match=r"(?=.*seed: missing)(?=.*sede: unknown)(?=.*coarse\.steps)"):
        parse_config(raw)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nseed: 2\n", "key 'seed' is given twice.*line 2"),
        ("grid: {spacing_mm: 1, spacing_mm: 2}\n", "key 'spacing_mm' is given twice"),
        ("seed: [1\n", "not valid YAML"),
        ("seed: !!python/object/apply:os.getcwd []\n", "not valid YAML.*python/object"),
        ("- 1\n", "top level"),
        ("", "top level"),
        ("seed: 2026-01-01\n", "expected plain YAML values"),
    ],
)
def test_bad_yaml_is_refused(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"no such file; .*bmenet profile demo"):
        load_config(tmp_path / "params.yaml")


def test_flatten_gives_every_leaf_its_dotted_key(raw):
    flat = flatten(parse_config(raw))
    assert flat["coarse.edge_weight"] == raw["coarse"]["edge_weight"]
    assert flat["degradation.presets.mild.bias.order"] == raw["degradation"]["presets"]["mild"]["bias"]["order"]
    assert {key.split(".")[0] for key in flat} == set(Config.model_fields)
    assert not any(isinstance(value, dict) for value in flat.values())


@pytest.mark.parametrize("stage", [path.stem for path in sorted((REPOSITORY / "pipelines").glob("[a-z]*.py"))])
def test_stage_stops_at_a_wrong_key_with_one_line_and_exit_code_1(workspace, stage):
    params = workspace / "params.yaml"
    params.write_text(params.read_text().replace("edge_weight:", "edge_wait:"))
    before = sorted(workspace.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", f"pipelines.{stage}"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "coarse.edge_wait: unknown key" in done.stderr
    assert done.stdout == ""
    assert sorted(workspace.rglob("*")) == before
