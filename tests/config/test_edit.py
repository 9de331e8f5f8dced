import io
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from ruamel.yaml import YAML

from bmenet.config import flatten, load_config
from bmenet.config.edit import edit_values
from bmenet.config.profiles import Change, Profiles
from bmenet.runtime.errors import ConfigError

PARAMS = sorted((Path(__file__).parents[2] / "params").glob("*.yaml"))
FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
VALUES = [1e-05, 0.1, 1 / 3, 2.5e300, -1e22, 3.0, -7, 10**12, True, False, None]
TEXTS = [
    "plain",
    "dpmsolver++",
    "no",
    "On",
    "y",
    "null",
    "1e-05",
    "0o7",
    "111",
    "a: b",
    "# no",
    "",
    "[x]",
    "Größe \x85'",
]


@pytest.fixture(params=PARAMS, ids=lambda path: path.stem)
def text(request) -> str:
    return request.param.read_bytes().decode()


def _leaves(tree: Any, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if isinstance(tree, dict) and tree:
        return {key: leaf for name, child in tree.items() for key, leaf in _leaves(child, (*prefix, name)).items()}
    return {prefix: tree}


def _both(text: str) -> tuple[Any, Any]:
    return yaml.safe_load(text), YAML(typ="safe", pure=True).load(io.StringIO(text))


def test_there_are_profiles():
    assert [path.stem for path in PARAMS] == ["base", "demo", "full", "paper", "smoke"]


def test_what_is_there_already_keeps_every_byte(text):
    leaves = {".".join(key): value for key, value in _leaves(yaml.safe_load(text)).items()}
    assert len(leaves) > 150
    assert edit_values(text, leaves) == text
    assert edit_values(text, {}) == text
    assert edit_values("a: 2  # two\n", {"a": 2.0}) == "a: 2  # two\n"


def test_each_leaf_changes_in_its_line_alone(text):
    old = text.split("\n")
    leaves = _leaves(yaml.safe_load(text))
    for number, (key, value) in enumerate(leaves.items()):
        new = [0.125, "x"] if isinstance(value, list) else (*VALUES, *TEXTS)[number % (len(VALUES) + len(TEXTS))]
        if value == new:
            new = "other"
        edited = edit_values(text, {".".join(key): new})
        lines = edited.split("\n")
        assert len(lines) == len(old)
        changed = [(a, b) for a, b in zip(old, lines, strict=True) if a != b]
        assert len(changed) == 1, key
        before, after = changed[0]
        if " #" in before:
            assert after.endswith(before[before.index(" #") :])
        for loaded in _both(edited) if number % 16 == 0 else [yaml.load(edited, FAST)]:
            assert _leaves(loaded) == leaves | {key: new}


def test_all_leaves_at_once(text):
    leaves = _leaves(yaml.safe_load(text))
    new = {key: number + 0.5 for number, key in enumerate(leaves)}
    edited = edit_values(text, {".".join(key): value for key, value in new.items()})
    for loaded in _both(edited):
        assert _leaves(loaded) == new
    assert edited.count("#") == text.count("#")


@pytest.mark.parametrize("value", [*VALUES, *TEXTS, [], [1, "no", [2e-7, None]], math.inf, -math.inf])
def test_every_value_is_read_back_the_same_by_both_yaml_versions(value):
    for before in ("a: {b: 1, c: 2}\n", "a:\n  b: 1  # one\n  c: 2", "a:\n  b:\n  c: 2\n", "a: {b: 'x', c: 2}"):
        for loaded in _both(edit_values(before, {"a.b": value})):
            assert loaded == {"a": {"b": value, "c": 2}}
            assert type(loaded["a"]["b"]) is type(value)


def test_not_a_number_is_one_that_both_read():
    assert all(math.isnan(loaded["a"]) for loaded in _both(edit_values("a: 1", {"a": math.nan})))


def test_an_exponent_has_a_point():
    assert edit_values("a: 1\n", {"a": 1e-05}) == "a: 1.0e-05\n"


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("a: 1     # one", 0.25, "a: 0.25  # one"),
        ("a: 0.25  # one", 1, "a: 1     # one"),
        ("a: 1  # one", 22, "a: 22 # one"),
        ("a: 1  # one", 333, "a: 333  # one"),
        ("a: '# 1'   # one", "b", "a: b       # one"),
        ("a: [1, 2]  # one # two", [1], "a: [1]     # one # two"),
        ("a: 1   \r\nb: 2\r\n", 2, "a: 2   \r\nb: 2\r\n"),
        ("\ufeffa: 1  # é", 2, "\ufeffa: 2  # é"),
        ("# 𝛼 脑\na: 1  # 𝛽", 2, "# 𝛼 脑\na: 2  # 𝛽"),
    ],
)
def test_a_comment_keeps_its_column_where_it_can(before, value, after):
    assert edit_values(before, {"a": value}) == after


def test_two_values_of_a_line_share_its_comment():
    before = "a: {b: 1, c: 0.001, d: '#'}     # all"
    assert edit_values(before, {"a.b": 100, "a.c": 2}) == "a: {b: 100, c: 2, d: '#'}       # all"


def test_names_may_have_dots_themselves():
    assert edit_values("a: {b: {x: 1}, b.c: {d: 2}}", {"a.b.c.d": 3}) == "a: {b: {x: 1}, b.c: {d: 3}}"


@pytest.mark.parametrize(
    ("before", "key", "value", "message"),
    [
        ("a: {b: 1}", "a.c", 2, "a.c: unknown key"),
        ("a: {b: 1}", "a.b.c", 2, "a.b.c: unknown key"),
        ("", "a", 2, "a: unknown key"),
        ("a: {b: 1}", "a", 2, "a: expected one value"),
        ("a:\n- 1\n- 2\n", "a", [2], "a: expected one value"),
        ("a: |\n  long\n", "a", "short", "a: expected one value"),
        ("a: &x 1\nb: *x\n", "a", 2, "a: expected no YAML anchor"),
        ("a: &x 1\nb: *x\n", "b", 2, "b: expected no YAML anchor"),
        ("a: 1", "a", {"b": 1}, "a: expected a number"),
        ("a: 1", "a", [object()], "a: expected a number"),
        ("a: [1", "a", 2, "not valid YAML"),
    ],
)
def test_what_cannot_be_replaced_is_refused(before, key, value, message):
    with pytest.raises(ConfigError, match=message):
        edit_values(before, {key: value})


def test_apply_writes_params_and_returns_the_changes(workspace):
    profiles = Profiles()
    profiles.switch("demo")
    before = profiles.params.read_text()
    values = {"sampling.guidance.scale": 1e-05, "sampling.compose": "decode", "sampling.steps": 1}
    assert profiles.apply(values) == profiles.edits()
    assert profiles.edits() == [
        Change("sampling.guidance.scale", 0.02, 1e-05),
        Change("sampling.compose", "residual", "decode"),
    ]
    assert flatten(load_config())["sampling.guidance.scale"] == 1e-05
    lines = zip(before.split("\n"), profiles.params.read_text().split("\n"), strict=True)
    changed = [new for old, new in lines if old != new]
    assert changed == [
        "    scale: 1.0e-05              # longest step, standard deviations of the latent; 0: no constraint",
        "  compose: decode               # decode: D(z0), as published | residual: r + strength * (D(z0) - D(E(r)))",
    ]


def test_apply_without_a_change_leaves_the_file_alone(workspace):
    profiles = Profiles()
    profiles.switch("demo")
    stamp = profiles.params.stat()
    assert profiles.apply({"sampling.steps": 1}) == []
    assert profiles.params.stat() == stamp


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sampling.strength": 0.5, "sampling.steps": -1}, r"params\.yaml: sampling\.steps: expected"),
        ({"sampling.strength": 0.5, "sampling.step": 1}, r"params\.yaml: sampling\.step: unknown key"),
        ({"sampling.start_timestep": 999}, r"start_timestep"),
    ],
)
def test_apply_writes_nothing_that_is_not_valid(workspace, values, message):
    profiles = Profiles()
    profiles.switch("demo")
    with pytest.raises(ConfigError, match=message):
        profiles.apply(values)
    assert profiles.active() == "demo"
