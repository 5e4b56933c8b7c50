"""Every key of a TOML file is found on its line, whatever stands around it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from server.facts.files.toml_lines import find_lines, line_of

ROOT = Path(__file__).parents[2]

AWKWARD = '''# c = "not a key"
id = "x" # y = 1
a.b . "c d" = 1
arr = [ 1, # [
  "]",

  {x = [1,2], y="}"},
]
empty = []
m = """
foo = 1
[bar]
"""
lit = \'\'\'
[z]\'\'\'
[users."+39"] # [no]
k = 1
[[dp]]
n = 1
[dp.sub]
q = 2
[[dp]]
n = 2
[[dp.inner]]
v=1
[[dp.inner]]
v=2'''


def paths_of(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """Every path of a value that was read, except what is inside inline tables of arrays."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    inner = [paths_of(item, (*path, key)) for key, item in items]
    return {path, *(found for each in inner for found in each)}


def test_lines_are_right_among_strings_comments_and_arrays_of_tables() -> None:
    lines = find_lines(AWKWARD)

    text = AWKWARD.split("\n")
    assert {text[line - 1] for path, line in lines.items() if path[-1] == "v"} == {"v=1", "v=2"}
    assert lines["dp", 1, "inner", 1, "v"] == len(text)
    assert lines["dp", 0, "sub", "q"] == text.index("q = 2") + 1
    assert lines["users", "+39", "k"] == text.index("k = 1") + 1
    assert lines["arr", 1] == text.index('  "]",') + 1
    assert lines["arr", 2] == text.index('  {x = [1,2], y="}"},') + 1
    assert lines["lit",] == text.index("lit = '''") + 1
    assert lines["a", "b", "c d"] == 3


def test_what_has_no_line_of_its_own_is_told_by_what_is_around_it() -> None:
    lines = find_lines(AWKWARD)

    assert line_of(lines, ("arr", 2, "x", 1)) == lines["arr", 2]
    assert line_of(lines, ("nowhere",)) == 0


@pytest.mark.parametrize(
    "file", sorted((ROOT / "data/directory").glob("*.toml")), ids=lambda file: file.stem
)
def test_in_the_sample_directory_no_key_is_missed_and_none_invented(file: Path) -> None:
    text = file.read_text("utf-8")
    read = paths_of(tomllib.loads(text))

    found = find_lines(text)

    assert set(found) <= read
    names = {path for path in read if path and isinstance(path[-1], str)}
    assert {path for path in names if line_of(found, path) == 0} == set()
