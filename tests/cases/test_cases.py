"""Every row of the decision cases, played through the rules and the ledger's reference model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from case_play import play
from case_rows import CaseRow, call_of, facts_of, now_ms_of, read_rows
from policy.admission import admit
from policy.decision import Admission, Refusal
from policy.facts import Catalogue
from server.facts.catalogue.reading import read_catalogue
from server.facts.files.problems import Problems

ROWS = read_rows()
PLAYED = [pytest.param(row, id=row.row_id) for row in ROWS if not row.later]
# What a row says of money holds with the made-up prices of the tests; the rest with any tables.
OF_PRICES = {"rate", "shortfall", "remedy"}
ON_SHIPPED_TABLES = [
    pytest.param(row, id=row.row_id)
    for row in ROWS
    if not row.later and row.content.get("tables") != "synthetic"
]
ASKED = [pytest.param(row, id=row.row_id) for row in ROWS if "call" in row.content]


@pytest.mark.parametrize("row", PLAYED)
async def test_the_answer_is_what_the_row_expects(row: CaseRow) -> None:
    expected = dict(row.content["expect"])
    remedy_words = expected.pop("remedy", "")

    answer = await play(row)

    assert {word: answer.get(word) for word in expected} == expected
    assert remedy_words in answer.get("remedy", "")


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    problems = Problems()
    return read_catalogue(Path(__file__).parents[2] / "data" / "catalogue", problems).catalogue


@pytest.mark.parametrize("row", ON_SHIPPED_TABLES)
async def test_the_tables_that_come_with_the_engine_give_the_same_answer(
    row: CaseRow, shipped: Catalogue
) -> None:
    expect = row.content["expect"]
    expected = {word: value for word, value in expect.items() if word not in OF_PRICES}

    answer = await play(row, shipped)

    assert {word: answer.get(word) for word in expected} == expected


@pytest.mark.parametrize("row", ASKED)
def test_an_explained_decision_is_the_same_decision(row: CaseRow) -> None:
    call, world, now_ms = call_of(row.content["call"]), facts_of(row), now_ms_of(row)

    plain = admit(call, world, now_ms)
    explained = admit(call, world, now_ms, explain=True)

    assert plain.checks == ()
    assert _essence(plain) == _essence(explained)


@pytest.mark.parametrize("row", ASKED)
def test_the_last_check_of_a_refusal_is_the_one_that_failed(row: CaseRow) -> None:
    decision = admit(call_of(row.content["call"]), facts_of(row), now_ms_of(row), explain=True)

    *before, last = decision.checks

    assert all(check.finding for check in decision.checks)
    # That no minutes cover a call does not refuse it: credits may.
    assert all(check.passed for check in before if check.rule != "allowance")
    if isinstance(decision, Refusal):
        assert not last.passed


def test_no_two_rows_have_one_name() -> None:
    names = Counter(row.row_id for row in ROWS)

    assert [name for name, count in names.items() if count > 1] == []


def _essence(decision: Admission | Refusal) -> tuple[object, ...]:
    if isinstance(decision, Refusal):
        return (decision.reason, decision.payer, decision.called_number, decision.call_type)
    return (decision.payer, decision.purses, decision.rate, decision.concurrency)
