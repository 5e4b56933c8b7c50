"""What strangers write is no formula in a file of ours, and comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from fact_files import FactFiles
from server.facts.directory.sections import UserSection
from server.facts.directory.users_csv import read_users, write_users
from server.facts.files.cells import read_cell, write_cell
from server.facts.files.problems import InvalidFacts, Problems

TEXTS = (
    '=HYPERLINK("http://x","click")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "'=1",
    "''=1",
    "'" * 3,
    "=",
    "o'neil",
    "'quoted'",
    "+14255550123",
    "+1425555****",
    "-12.50",
    "#EXT#",
    "",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_cell_is_no_formula_and_is_read_as_it_was(text: str) -> None:
    written = write_cell(text)

    assert read_cell(written) == text
    assert written[:1] not in {"=", "@", "\t", "\r"}
    if written[:1] in {"+", "-"}:
        assert set(written[1:]) <= set("0123456789.*")


def test_users_come_back_whatever_they_are_called(tmp_path: Path) -> None:
    names = ["=cmd@b.c", "+bob", "-x", "@d", "'=e", "#EXT#f", "g"]
    users = [(name, UserSection(usage_location="US", number="+12065550101")) for name in names]

    text = "".join(write_users(users))
    read = list(read_users(tmp_path / "users.csv", text, Problems()))

    assert [name for _, name, _ in read] == names
    assert "\n'=cmd@b.c,US,,+12065550101" in text
    assert all(line[0] not in "=+-@" for line in text.splitlines())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("catalogue/toll_free_reach.csv", "country;origin\nIT;VA\n"),
        ("catalogue/skus.csv", "sku\tcapabilities\tplan\tproduct\nA\tb\t\tc\n"),
    ],
)
def test_a_table_with_other_separators_is_told_so(tmp_path: Path, name: str, text: str) -> None:
    files = FactFiles(tmp_path)
    files.write(name, text)

    assert "separate them by commas" in " ".join(files.mistakes())


def test_users_with_semicolons_are_told_so(tmp_path: Path) -> None:
    problems = Problems()

    read = list(read_users(tmp_path / "u.csv", "user_id;usage_location\na;US\n", problems))

    assert read == []
    with pytest.raises(InvalidFacts, match="separated by ';'; separate them by commas"):
        problems.raise_if_any()
