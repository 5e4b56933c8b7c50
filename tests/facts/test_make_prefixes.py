"""The script that makes the table of prefixes makes the rows that are committed."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from types import ModuleType

import phonenumbers
import pytest

from policy.destination import sized_prefix

DATA = Path(__file__).parents[2] / "data"
# Quick ones: a country with all classes, and codes of two regions.
CODES = (7, 33, 599)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_prefixes", DATA / "tools" / "make_prefixes.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def committed() -> dict[str, tuple[str, str]]:
    text = (DATA / "catalogue" / "prefixes.csv").read_text("utf-8")
    lines = [line for line in text.split("\n") if not line.startswith("#")]
    return {
        sized_prefix(row["prefix"], int(row["length"] or 0)): (row["country"], row["number_class"])
        for row in csv.DictReader(lines)
    }


@pytest.mark.parametrize("code", CODES)
def test_the_committed_rows_of_a_country_code_are_those_the_script_makes(
    script: ModuleType, committed: dict[str, tuple[str, str]], code: int
) -> None:
    regions = set(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code])

    made = {prefix: tuple(leads) for prefix, leads in script.rows_of_code(code)}
    made |= {
        sized_prefix(prefix, length): tuple(leads)
        for prefix, leads, length in script.sized_rows(code)
    }

    assert made == {
        prefix: leads
        for prefix, leads in committed.items()
        if prefix.startswith(str(code)) and leads[0] in regions
    }


@pytest.mark.parametrize(
    ("pattern", "digits", "possible"),
    [
        (r"[2-4]\d{2}", "23", True),
        (r"[2-4]\d{2}", "5", False),
        (r"80(?:0|3)\d?", "803", True),
        (r"80(?:0|3)\d?", "8031", True),
        (r"80(?:0|3)\d?", "80311", False),
        (r"(?:12){1,2}3", "12123", True),
        (r"(?:12){1,2}3", "121212", False),
    ],
)
def test_a_prefix_is_possible_if_some_number_of_the_pattern_begins_with_it(
    script: ModuleType, pattern: str, digits: str, possible: bool
) -> None:
    follow = frozenset({script.parse_pattern(pattern)})
    for digit in digits:
        follow = frozenset().union(*(script.after_digit(each, digit) for each in follow))

    assert bool(follow) is possible
