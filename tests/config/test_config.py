import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from bmenet.config import Config, flatten, load_config, parse_config
from bmenet.config.profiles import load_profile
from bmenet.runtime.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def raw() -> dict:
    """The profile smoke as plain values."""
    return load_profile("smoke").model_dump(mode="json")


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


PRESET = "degradation.presets.mild"


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("coarse.edge_wieght", 1.0, "coarse.edge_wieght: unknown key"),
        ("coarses", {}, "coarses: unknown key"),
        ("coarse.steps", "24", "coarse.steps: expected .*integer; got '24'"),
        ("coarse.steps", True, "coarse.steps: expected .*integer; got True"),
        ("coarse.steps", 0, "coarse.steps: expected greater than or equal to 1; got 0"),
        ("coarse.arch", "resnet", "coarse.arch: expected 'unet' or 'swinir'; got 'resnet'"),
        ("coarse.context_slices", 4, "coarse.context_slices: expected an odd number; got 4"),
        ("coarse.code_weights", {"111": 0}, "coarse.code_weights: expected at least one weight above zero"),
        ("coarse.planes", [], "coarse.planes: expected at least 1 of them"),
        ("coarse.learning_rate", float("inf"), "coarse.learning_rate: expected a finite number; got inf"),
        ("coarse.augment.gain", [0, 0], "coarse.augment.gain.low: expected greater than 0; got 0"),
        ("coarse.crop", [4, 4], r"coarse.crop\[0\]: expected greater than or equal to 8; got 4"),
        ("coarse.swinir.heads", 7, "coarse.swinir: embed: expected a multiple of heads"),
        ("grid.spacing_mm", 3, "grid.spacing_mm: expected 1, 2 or 4; got 3"),
        ("split.leave_out", ["ds1", "sample"], r"split.leave_out: expected names .*\(sample\); got \['ds1'\]"),
        ("split.leave_out", ["sample", "sample"], "split.leave_out: expected distinct values"),
        ("seed", -1, "seed: expected greater than or equal to 0; got -1"),
        ("degradation.codes", ["000"], "degradation: codes: expected non-zero codes"),
        ("degradation.codes", ["111", "111"], "degradation.codes: expected distinct values"),
        ("degradation.codes", ["110"], "evaluate.codes: expected 000 or codes of .*; got .*'111'"),
        ("degradation.calibration.psnr_db", float("nan"), "calibration.psnr_db: expected a finite number; got nan"),
        (f"{PRESET}.noise.sigma", [0.2, 0.1], r"noise.sigma: expected \[low, high\] with low <= high"),
        (f"{PRESET}.bias.ratio", [0.5, 1.0], "bias.ratio.high: expected less than 1; got 1.0"),
        (f"{PRESET}.motion.moves", [1.5, 2.7], "motion.moves.low: expected a valid integer; got 1.5"),
        ("evaluate", None, "evaluate: expected .*; got None"),
        ("evaluate.baselines.n4", ["111", "111"], "evaluate.baselines.n4: expected 'all' or a list of distinct codes"),
        ("evaluate.fine.fine", ["111", "x"], "evaluate.fine.fine: expected 'all' or a list"),
        ("evaluate.segmented_codes", ["010"], "evaluate: segmented_codes: expected codes of evaluate.codes"),
        ("covariates.age_years", [50, 50], r"covariates.age_years: expected \[low, high\] with low < high"),
        ("fine.max_timestep", 1000, "fine.max_timestep: expected less than .*1000"),
        ("sampling.start_timestep", 401, "sampling.start_timestep: expected at most .*400.*; got 401"),
        ("sampling.start", "noise", "sampling.start: expected 'reference', or fine.max_timestep 999"),
        ("sampling.steps", 302, "sampling.steps: expected at most 301, .*; got 302"),
        ("sampling.guidance.start", 1001, "sampling.guidance.start: expected at most .*1000.*; got 1001"),
    ],
)
def test_a_wrong_value_is_named_with_expected_and_got(raw, key, value, named):
    _set(raw, key, value)
    with pytest.raises(ConfigError, match=named):
        parse_config(raw)


OPENNEURO = {"source": "openneuro", "dataset": "ds000011"}


@pytest.mark.parametrize(
    ("source", "named"),
    [
        (OPENNEURO | {"dataset": "ds1"}, r"\[1\]\.dataset: expected 'ds002748' or 'ds000011'; got 'ds1'"),
        ({"source": "openneuro"}, r"\[1\]\.dataset: expected 'ds002748' or 'ds000011', .*; got None"),
        (OPENNEURO | {"root": "x"}, r"\[1\]\.root: expected none, .* bids and folder have it; got 'x' with openneuro"),
        (
            {"source": "bids", "covariates": "x"},
            r"\[1\]\.covariates: expected none, .* folder have it; got 'x'",
        ),
        ({"source": "folder", "mirror": "x"}, r"\[1\]\.mirror: expected none, for only openneuro"),
        ({"source": "sample", "dataset": "ds000011"}, r"\[1\]\.dataset: expected none, for only openneuro"),
        (OPENNEURO | {"name": "my_data"}, r"\[1\]\.name: expected letters and digits alone, .*; got 'my_data'"),
        (OPENNEURO | {"name": ""}, r"\[1\]\.name: expected letters and digits alone, .*; got ''"),
        ({"source": "web"}, r"\[1\]\.source: expected 'sample', .*; got 'web'"),
        ({}, r"\[1\]\.source: missing key"),
        ("openneuro", r"\[1\]: expected .*; got 'openneuro'"),
        (OPENNEURO | {"split": {"train": 6, "validation": 0.5, "test": 0}}, r"\[1\]\.split: expected three whole"),
        (OPENNEURO | {"split": {"train": 6}}, r"\[1\]\.split\.test: missing key"),
        (OPENNEURO | {"subjects": 0}, r"\[1\]\.subjects.*: expected greater than or equal to 1; got 0"),
        ({"source": "sample"}, r": expected distinct names, .*; got \['sample', 'sample'\]; set name"),
        (OPENNEURO | {"name": "Sample"}, r": expected distinct names, .*; got \['sample', 'Sample'\]"),
    ],
)
def test_a_wrong_data_set_is_named_with_expected_and_got(raw, source, named):
    raw["data"]["sources"].append(source)
    with pytest.raises(ConfigError, match=rf"data\.sources{named}"):
        parse_config(raw)


def test_a_data_set_is_named_by_its_accession_or_else_its_source(raw):
    raw["data"]["sources"] = [OPENNEURO, {"source": "bids"}, {"source": "folder", "name": "ixi"}]
    assert [source.name for source in parse_config(raw).data.sources] == ["ds000011", "bids", "ixi"]
    raw["data"]["sources"] = []
    with pytest.raises(ConfigError, match=r"data\.sources: expected at least 1 of them"):
        parse_config(raw)


def test_start_timestep_does_not_count_where_sampling_starts_from_noise(raw):
    _set(raw, "sampling.start_timestep", 2000)
    _set(raw, "sampling.start", "noise")
    _set(raw, "fine.max_timestep", 999)
    assert parse_config(raw).sampling.start_timestep == 2000


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
        ("seed: 1\nseed: 2\n", 'duplicate key "seed".*line 2'),
        ("seed: [1\n", "not valid YAML"),
        ("seed: !!python/object/apply:os.getcwd []\n", "not valid YAML.*python/object"),
        ("- 1\n", "top level"),
        ("seed: 2026-01-01\n", "expected plain YAML values"),
        ("seed: 2026-13-45\n", "not valid YAML"),
        ("? [a]\n: 1\n", "expected plain YAML values; keys must be str"),
        ("[" * 1000, "not valid YAML"),
        (b"seed: \xff\n", "expected text in UTF-8; got byte 6"),
    ],
)
def test_bad_yaml_is_refused(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_a_missing_file_or_a_folder_in_its_place_is_named(tmp_path):
    for path, reason in (
        (tmp_path / "params.yaml", "no such file; .*bmenet profile demo"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(ConfigError, match=reason):
            load_config(path)


def test_flatten_gives_every_leaf_its_dotted_key(raw):
    flat = flatten(parse_config(raw))
    assert flat["data.sources.0.name"] == "sample"
    assert flat["coarse.edge_weight"] == raw["coarse"]["edge_weight"]
    assert flat["degradation.presets.mild.bias.order"] == raw["degradation"]["presets"]["mild"]["bias"]["order"]
    assert {key.split(".")[0] for key in flat} == set(Config.model_fields)
    assert not any(isinstance(value, dict) for value in flat.values())


# One process for all stages: most of the time of each is what all of them import.
RUN_STAGES = """
import contextlib, io, json, runpy, sys
outcomes, stages = {}, sys.argv[1:]
for stage in stages:
    sys.argv = [stage]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = runpy.run_module(f"pipelines.{stage}", run_name="__main__") and 0
        except SystemExit as stop:
            code = stop.code
    outcomes[stage] = {"code": code, "out": out.getvalue(), "err": err.getvalue()}
print(json.dumps(outcomes))
"""


def test_every_stage_stops_at_a_wrong_key_with_one_line_and_exit_code_1(workspace):
    params = workspace / "params.yaml"
    params.write_text(params.read_text().replace("edge_weight:", "edge_wait:"))
    before = sorted(workspace.rglob("*"))
    stages = [path.stem for path in sorted((REPOSITORY / "pipelines").glob("[a-z]*.py")) if path.stem != "code"]
    done = subprocess.run(
        [sys.executable, "-c", RUN_STAGES, *stages],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    outcomes = json.loads(done.stdout)
    assert list(outcomes) == stages
    for stage, outcome in outcomes.items():
        assert outcome["code"] == 1, (stage, outcome)
        assert outcome["err"].count("\n") == 1, (stage, outcome)
        assert "coarse.edge_wait: unknown key" in outcome["err"], stage
        assert outcome["out"] == "", stage
    assert sorted(workspace.rglob("*")) == before
