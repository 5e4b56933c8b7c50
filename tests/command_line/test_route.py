"""`callgate route` on the sample tenants: the whole engine, the real rules."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from integrations.own_engine import OwnEngine, own_engine

SCRIPT = Path(sysconfig.get_path("scripts"), "callgate")
ACCEPTED, WRONG_USAGE, REFUSED = 0, 2, 3


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    with own_engine() as engine:
        yield engine


def typed(engine: OwnEngine, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, "route", *words, "--address", engine.address],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_number_that_takes_calls_says_where_it_leads_and_what_they_cost(
    engine: OwnEngine,
) -> None:
    done = typed(engine, "+18005550100", "--from", "+14255550123")

    assert done.returncode == ACCEPTED
    assert "+18005550100 leads to a conferencing bridge of contoso." in done.stdout
    assert "GRANTED   5 min" in done.stdout
    assert "USD a minute" in done.stdout
    assert "a dry run: nothing was reserved" in done.stdout


def test_a_number_without_credit_behind_it_says_why_not_and_what_would_help(
    engine: OwnEngine,
) -> None:
    done = typed(engine, "+39800555010", "--from", "+390612345678")

    assert done.returncode == REFUSED
    assert "+39800555010 leads to a conferencing bridge of fabrikam." in done.stdout
    assert "toll free needs credit" in done.stdout
    assert "What would turn it into a yes" in done.stdout


def test_a_number_that_nobody_has_leads_nowhere(engine: OwnEngine) -> None:
    done = typed(engine, "+18005550999", "--from", "+14255550123")

    assert done.returncode == REFUSED
    assert "+18005550999 leads nowhere" in done.stdout


def test_a_table_is_checked_row_by_row_in_its_order(engine: OwnEngine, tmp_path: Path) -> None:
    table = tmp_path / "numbers.csv"
    rows = [("+18005550100", ""), ("+39800555010", "+390612345678"), ("+18005550999", "")] * 100
    rows.append(("not a number\t", ""))
    lines = [",".join(row) for row in rows]
    table.write_text("\n".join(["Number,From", *lines]), encoding="utf-8")

    done = typed(engine, "--table", str(table), "--from", "+14255550123")

    found = list(csv.DictReader(io.StringIO(done.stdout)))
    assert done.returncode == REFUSED
    assert [row["number"] for row in found] == [number.strip() for number, _ in rows]
    assert {row["accepted"] for row in found[:300:3]} == {"yes"}
    assert found[0] | {"seconds": "300", "pays": "credits", "currency": "USD"} == found[0]
    assert (found[1]["calling"], found[1]["reason"]) == ("+390612345678", "TOLL_FREE_NEEDS_CREDIT")
    assert found[2]["reason"] == "TENANT_FORBIDDEN"
    assert found[0]["calling"] == "+14255550123"
    assert found[-1]["accepted"] in {"no", "error"}


def test_a_table_in_json_is_a_line_a_row(engine: OwnEngine, tmp_path: Path) -> None:
    table = tmp_path / "numbers.csv"
    table.write_text("number\n+18005550100\n", encoding="utf-8")

    done = typed(engine, "--table", str(table), "--from", "+14255550123", "--json")

    [line] = done.stdout.splitlines()
    assert done.returncode == ACCEPTED
    assert json.loads(line)["tenant"] == "contoso"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("phone\n+18005550100\n", ":1: the columns are phone; they have to be number"),
        ("number,from\n+18005550100,\n,+14255550123\n", ":3: number: is empty; give a number"),
        ("number\n+18005550100,1,2\n", ":2: has more cells than the first line has columns"),
    ],
)
def test_a_table_that_cannot_be_read_is_told_by_its_line(
    engine: OwnEngine, tmp_path: Path, text: str, told: str
) -> None:
    table = tmp_path / "numbers.csv"
    table.write_text(text, encoding="utf-8")

    done = typed(engine, "--table", str(table))

    assert done.returncode == WRONG_USAGE
    assert told in done.stderr
    assert not done.stdout


def test_one_number_or_a_table(engine: OwnEngine) -> None:
    assert typed(engine).returncode == WRONG_USAGE


def test_nothing_is_reserved_by_looking(engine: OwnEngine) -> None:
    typed(engine, "+18005550100", "--from", "+14255550123")

    done = subprocess.run(
        [SCRIPT, "balance", "--tenant", "contoso", "--json", "--address", engine.address],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["available"]["micros"] == "50000000"
