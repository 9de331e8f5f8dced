"""docs/faults.md names a test for every case, and enough cases of every group."""

import ast
import re
from functools import cache
from typing import NamedTuple

import pytest

from tests.conftest import REPOSITORY

LEAST = {"A": 36, "B": 20, "C": 16, "D": 14, "E": 18, "F": 24, "G": 10, "H": 12, "I": 22, "J": 14}
TEXT = (REPOSITORY / "docs" / "faults.md").read_text(encoding="utf-8")
TEST_ID = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


class Row(NamedTuple):
    """A case of a group, and the tests that stand for it: file and name."""

    case: str
    outcome: str
    tests: list[tuple[str, str]]


def _groups(text: str) -> dict[str, list[Row]]:
    """Return the rows of every table by the letter of its section."""
    found: dict[str, list[Row]] = {}
    for letter, section in re.findall(r"^## ([A-Z])\. .*?\n(.*?)(?=^## |\Z)", text, re.M | re.S):
        lines = [line for line in section.splitlines() if line.startswith("|")][2:]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        found[letter] = [Row(case, outcome, TEST_ID.findall(test)) for case, outcome, test in cells]
    return found


@cache
def _names(file: str) -> set[str]:
    """Return the names of functions and methods in a file."""
    tree = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_group_has_its_least_number_of_distinct_cases():
    groups = _groups(TEXT)
    assert groups.keys() == LEAST.keys()
    for letter, rows in groups.items():
        assert len({row.case for row in rows}) == len(rows) >= LEAST[letter], letter


@pytest.mark.parametrize("letter", LEAST)
def test_every_case_has_an_outcome_and_a_test_that_exists(letter):
    for row in _groups(TEXT)[letter]:
        assert row.outcome, row.case
        assert row.tests, row.case
        for file, name in row.tests:
            assert name.startswith("test_"), name
            assert (REPOSITORY / file).is_file(), file
            assert name in _names(file), f"{row.case}: {file}::{name}"


def test_a_row_without_a_test_is_found():
    (row,) = _groups("## A. Intake\n\n| case | what happens | test |\n| --- | --- | --- |\n| x | y | none |\n")["A"]
    assert row == Row("x", "y", [])
