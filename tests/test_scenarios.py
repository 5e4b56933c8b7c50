"""The table of scenarios and the tests agree: each has a test, which names it."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest

import tidiness

PAGE = "docs/scenarios.md"
# The scenarios that have to have one.
WANTED = {
    "A": (1, 3, 5, 6, 7, 9),
    "B": (1, 3, 4, 5, 7, 8, 9, 11, 13, 15),
    "C": (1, 2, 5, 6, 7, 10, 13),
    "D": (2, 4, 5, 6, 8, 10),
    "E": (1, 2, 3, 4, 6, 7, 11, 14, 15, 16),
    "F": (1, 3, 5, 7, 8, 9, 11, 12, 13),
    "G": (1,),
    "H": (1, 5, 8),
    "I": (2, 5, 6, 7),
    "J": (1, 3, 6),
}
_NAMED = re.compile(r"^(?:Scenarios? )?((?:[A-J]\d{1,2})(?:, [A-J]\d{1,2})*)[:.]")
_ROW = re.compile(r"^\| ([A-J]\d{1,2}) \|[^|]+\|([^|]+)\|$", re.MULTILINE)


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return tidiness.files()


@pytest.fixture(scope="module")
def rows(texts: dict[str, str]) -> dict[str, str]:
    """What the page says of each scenario: its tests."""
    found = _ROW.findall(texts[PAGE])
    assert not [name for name, count in Counter(name for name, _ in found).items() if count > 1]
    return dict(found)


@pytest.fixture(scope="module")
def named(texts: dict[str, str]) -> dict[str, set[str]]:
    """The scenarios that each test names at the head of its docstring."""
    return {
        f"{path}::{one.name}": scenarios_of(ast.get_docstring(one) or "")
        for path, text in texts.items()
        if path.startswith("tests/") and path.endswith(".py")
        for one in ast.walk(ast.parse(text))
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name.startswith("test_")
    }


def scenarios_of(docstring: str) -> set[str]:
    found = _NAMED.match(docstring)
    return set(found[1].split(", ")) if found else set()


def test_every_scenario_has_a_test(rows: dict[str, str]) -> None:
    wanted = {f"{group}{number}" for group, numbers in WANTED.items() for number in numbers}

    without = {scenario for scenario in wanted if "::test_" not in rows.get(scenario, "")}

    assert not without


def test_every_test_in_the_table_is_there_and_names_its_scenario(
    rows: dict[str, str], named: dict[str, set[str]]
) -> None:
    told = {
        (test, scenario)
        for scenario, text in rows.items()
        for test in re.findall(r"`([^`]+::[^`]+)`", text)
    }

    assert [pair for pair in told if pair[1] not in named.get(pair[0], set())] == []


def test_every_scenario_that_a_test_names_is_in_the_table(
    rows: dict[str, str], named: dict[str, set[str]]
) -> None:
    assert set().union(*named.values()) - rows.keys() == set()


@pytest.mark.parametrize(
    ("docstring", "scenarios"),
    [
        ("A7.", {"A7"}),
        ("B1, B11: killed.", {"B1", "B11"}),
        ("Scenario I2.", {"I2"}),
        ("Scenarios B1, C1: paid once.", {"B1", "C1"}),
        ("An E5 licence.", set()),
        ("", set()),
    ],
)
def test_scenarios_are_read_from_the_head_of_a_docstring(
    docstring: str, scenarios: set[str]
) -> None:
    assert scenarios_of(docstring) == scenarios
