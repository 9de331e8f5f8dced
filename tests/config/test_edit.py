import math
from itertools import cycle
from typing import Any

import pytest
import yaml
from ruamel.yaml import YAML

from bmenet.config.load import dump_text, find_key, load_text, merge
from bmenet.config.profiles import Profiles
from bmenet.runtime.errors import ConfigError

NAMES = Profiles().names()
VALUES = [1e-05, 0.1, 1 / 3, 2.5e300, -1e22, -math.inf, 3.0, -7, 10**12, True, False, None]
TEXTS = ["plain", "dpmsolver++", "null", "1e-05", "111", "a: b", "# no", "", "[x]", "Größe \x85'"]


@pytest.fixture(scope="module", params=NAMES)
def text(request) -> str:
    """A complete profile."""
    return Profiles().text(request.param)


def edit(text: str, values: dict[str, Any]) -> str:
    """Set dotted keys as `Profiles.apply` does."""
    data = load_text(text)
    for key, value in values.items():
        section, name = find_key(data, key)
        section[name] = value
    return dump_text(data)


def _read(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def _leaves(tree: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(tree, dict) and tree:
        return {key: leaf for name, child in tree.items() for key, leaf in _leaves(child, f"{prefix}{name}.").items()}
    return {prefix.removesuffix("."): tree}


def test_what_is_not_changed_keeps_every_byte(text):
    assert edit(text, {}) == text


def test_a_leaf_changes_in_its_line_alone():
    text = Profiles().text("demo")
    leaves = _leaves(_read(text))
    others = cycle([*VALUES, *TEXTS])
    for key, value in list(leaves.items())[::15]:
        new = [0.125, "x"] if isinstance(value, list) else next(other for other in others if other != value)
        edited = edit(text, {key: new})
        changed = [pair for pair in zip(text.split("\n"), edited.split("\n"), strict=True) if len(set(pair)) == 2]
        assert len(changed) == 1, key
        before, after = (line.partition(" # ")[2] for line in changed[0])
        assert before == after
        assert _leaves(_read(edited)) == leaves | {key: new}


@pytest.mark.parametrize("value", [*VALUES, *TEXTS, [], [1, [2e-7, None]]])
def test_every_value_is_read_back_the_same_by_both_yaml_versions(value):
    for before in ("a: {b: 1, c: 2}\n", "a:\n  b: 1  # one\n  c: 2", "a:\n  b:\n  c: 2\n", "a: {b: 'x', c: 2}"):
        edited = edit(before, {"a.b": value})
        for loaded in (_read(edited), yaml.safe_load(edited)):
            assert loaded == {"a": {"b": value, "c": 2}}
            assert type(loaded["a"]["b"]) is type(value)


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("a: 1     # one\n", 0.25, "a: 0.25  # one\n"),
        ("a: 1  # one\n", 333, "a: 333 # one\n"),
        ("# 𝛼 脑\na: 1  # 𝛽\n", 2, "# 𝛼 脑\na: 2  # 𝛽\n"),
        ("a: 1\n", 1e-05, "a: 1.0e-05\n"),
    ],
)
def test_a_comment_keeps_its_column_where_it_can(before, value, after):
    assert edit(before, {"a": value}) == after


def test_names_may_have_dots_themselves():
    assert edit("a: {b: {x: 1}, b.c: {d: 2}}\n", {"a.b.c.d": 3}) == "a: {b: {x: 1}, b.c: {d: 3}}\n"


@pytest.mark.parametrize(
    ("before", "key", "value", "message"),
    [
        ("a: {b: 1}", "a.c", 2, "a.c: unknown key"),
        ("a: {b: 1}", "a.b.c", 2, "a.b.c: unknown key"),
        ("", "a", 2, "expected sections of keys and values; got None"),
        ("a: [1", "a", 2, "not valid YAML: .*, line 1"),
    ],
)
def test_what_has_no_such_key_is_refused(before, key, value, message):
    with pytest.raises(ConfigError, match=message):
        edit(before, {key: value})


@pytest.mark.parametrize(
    ("base", "overlay", "merged"),
    [
        ("a: {b: 1, c: 2}   # one\n", "a: {c: 3}\n", "a: {b: 1, c: 3}   # one\n"),
        ("a: {b: 1, c: 2}\n", "a: {b: null}\n", "a: {c: 2}\n"),
        ("a: null  # one\nb: 2\n", "a:\n  c: {d: 1}\n", "a:       # one\n  c: {d: 1}\nb: 2\n"),
        ("a: 1\n", "b: 2\n", "a: 1\nb: 2\n"),
    ],
    ids=["within", "away", "section for null", "new"],
)
def test_an_overlay_is_merged_key_by_key(base, overlay, merged):
    data = load_text(base)
    merge(data, load_text(overlay))
    assert dump_text(data) == merged
