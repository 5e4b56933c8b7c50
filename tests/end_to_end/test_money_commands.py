"""The commands that move and show money, typed at a real engine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from engines import Engine, running_engine, wait_until
from terminal import Terminal

TENANT = ("--tenant", "fourthcoffee")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running_engine(tmp_path_factory.mktemp("engine"), payments="rehearsal") as engine:
        yield engine


@pytest.fixture
def terminal(engine: Engine) -> Terminal:
    return Terminal(engine.address)


def said(terminal: Terminal, *words: str) -> str:
    result = terminal.type(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_money_comes_in_is_listed_and_told(terminal: Terminal) -> None:
    added = said(terminal, "top-up", *TENANT, "--amount", "25", "--request-id", "t-1", "--yes")
    again = said(terminal, "top-up", *TENANT, "--amount", "25", "--request-id", "t-1", "--yes")
    wait_until(lambda: "top_up:t-1" in said(terminal, "lots", *TENANT), seconds=10)
    told = said(terminal, "statement", *TENANT)

    assert added == again
    assert added.startswith("25.00 USD added as top_up:t-1, until ")
    assert re.search(r"top-up +10\.00 USD +10\.00 USD", told)
    assert re.search(r"top-up +25\.00 USD +35\.00 USD", told)


def test_what_costs_money_asks_first(terminal: Terminal) -> None:
    """Nobody answers the question, so nothing is done."""
    before = said(terminal, "balance", *TENANT)

    result = terminal.type("debit", *TENANT, "--amount", "1")

    assert result.exit_code == 1
    assert "Take 1.00 USD from fourthcoffee?" in result.stderr
    assert said(terminal, "balance", *TENANT) == before


def test_a_debit_is_refunded_to_its_lot(terminal: Terminal) -> None:
    said(terminal, "debit", *TENANT, "--amount", "2.50", "--request-id", "d-1", "--yes")
    refund = ("refund", *TENANT, "--debit", "d-1", "--request-id", "r-1", "--yes")

    wait_until(lambda: terminal.type(*refund).exit_code == 0, seconds=10)

    assert said(terminal, *refund).splitlines() == [
        "2.50 USD given back",
        "  2.50 USD to opening:fourthcoffee",
    ]


def test_a_refusal_ends_with_2_and_the_reason(terminal: Terminal) -> None:
    result = terminal.type("top-up", *TENANT, "--amount", "5", "--yes")

    assert result.exit_code == 2
    assert "FAILED_PRECONDITION (BELOW_MINIMUM)" in result.stderr


def test_auto_recharge_is_set_shown_and_switched_off(terminal: Terminal) -> None:
    words = ("--on", "--trigger", "1", "--amount", "20", "--monthly-limit", "100", "--yes")
    on = said(terminal, "recharge", *TENANT, *words)
    shown = json.loads(said(terminal, "recharge", *TENANT, "--json"))
    off = said(terminal, "recharge", *TENANT, "--off", "--yes")

    assert on.startswith("fourthcoffee: 20.00 USD when the balance is below 1.00 USD")
    assert "at most    100.00 USD a month" in on
    assert shown["funding"]["autoRecharge"]["trigger"]["micros"] == "1000000"
    assert off.startswith("fourthcoffee: auto-recharge is off")


def test_an_account_is_frozen_and_let_go(terminal: Terminal) -> None:
    frozen = said(terminal, "freeze", *TENANT, "--yes")
    free = said(terminal, "freeze", *TENANT, "--undo", "--yes")

    assert frozen == "fourthcoffee is frozen\n"
    assert free == "fourthcoffee is not frozen any more\n"


def test_a_charge_that_nobody_knows_cannot_be_resolved(terminal: Terminal) -> None:
    result = terminal.type("resolve-charge", "no-charge", *TENANT, "--taken", "--yes")

    assert result.exit_code == 2
    assert "NOT_FOUND (CHARGE_UNKNOWN)" in result.stderr
