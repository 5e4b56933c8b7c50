"""The sample tenants, asked about by the installed script: the whole engine, the real rules."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integrations.own_engine import OwnEngine, own_engine, store_frozen

SCRIPT = Path(sysconfig.get_path("scripts"), "callgate")
GRANTED, WRONG_USAGE, REFUSED, NO_ANSWER = 0, 2, 3, 4
POOL, CREDITS = "PURSE_KIND_POOL", "PURSE_KIND_CREDITS"


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    with own_engine() as engine:
        yield engine


def typed(engine: OwnEngine, words: str) -> tuple[int, str]:
    """Run `callgate authorize WORDS --json`; return exit status and output."""
    done = subprocess.run(
        [SCRIPT, "authorize", *words.split(), "--json", "--address", engine.address],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def asked(engine: OwnEngine, words: str) -> tuple[int, Any]:
    status, output = typed(engine, words)
    return status, json.loads(output) if output else None


@pytest.mark.parametrize(
    ("words", "purse", "counter"),
    [
        ("--tenant contoso --user adele --to +14255550123", POOL, "domestic"),
        ("--tenant contoso --user adele --to +390612345678", CREDITS, None),
        ("--tenant contoso --user bruno --to +390612345678", POOL, "domestic"),
        ("--tenant contoso --user chiara --to +14255550123", POOL, "international"),
        ("--tenant contoso --kind meeting --user dan --to +14255550123", POOL, None),
        ("--tenant contoso --user eve --to +442079460000", CREDITS, None),
        ("--tenant fabrikam --user gina --to +390612345678", POOL, "domestic"),
        ("--kind toll-free --from +14255550123 --to +18005550100", CREDITS, None),
    ],
)
def test_granted(engine: OwnEngine, words: str, purse: str, counter: str | None) -> None:
    status, answer = asked(engine, words)

    assert status == GRANTED
    assert answer["grant"]["purse"]["kind"] == purse
    assert counter in {None, answer["grant"]["purse"].get("counter")}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--tenant contoso --user adele --to +19005551234", "REASON_DESTINATION_BLOCKED"),
        ("--tenant contoso --user bruno --to +14255550123", "REASON_PAYER_NOT_ENABLED"),
        ("--tenant contoso --user dan --to +14255550123", "REASON_LICENCE_MISSING"),
        ("--tenant contoso --user frank --to +14255550123", "REASON_LICENCE_MISSING"),
        ("--tenant contoso --user frank --to 9112025551234", "REASON_NUMBER_INVALID"),
        ("--tenant contoso --user adele --to 12ab", "REASON_NUMBER_INVALID"),
        (
            "--kind toll-free --from +390612345678 --to +39800555010",
            "REASON_TOLL_FREE_NEEDS_CREDIT",
        ),
    ],
)
def test_refused(engine: OwnEngine, words: str, reason: str) -> None:
    status, answer = asked(engine, words)

    assert status == REFUSED
    assert answer["refusal"]["reason"] == reason


def test_without_credits_the_refusal_tells_the_shortfall(engine: OwnEngine) -> None:
    status, answer = asked(engine, "--tenant fabrikam --user gina --to +14255550123")

    assert status == REFUSED
    assert answer["refusal"]["reason"] == "REASON_CREDITS_EXHAUSTED"
    assert answer["refusal"]["shortfall"]["currencyCode"] == "EUR"
    assert int(answer["refusal"]["shortfall"]["micros"]) > 0


def test_an_explanation_ends_with_the_check_that_said_no(engine: OwnEngine) -> None:
    abroad = "--to +14255550123 --dry-run --explain"

    _, by_rule = asked(engine, f"--tenant contoso --user bruno {abroad}")
    _, by_ledger = asked(engine, f"--tenant fabrikam --user gina {abroad}")

    last = [answer["explanation"]["checks"][-1] for answer in (by_rule, by_ledger)]
    assert [check["rule"] for check in last] == ["payer_credits", "purses"]
    assert not any(check.get("passed") for check in last)
    assert all(answer["refusal"]["remedy"] for answer in (by_rule, by_ledger))


def test_an_emergency_is_granted_without_a_licence_and_not_metered(engine: OwnEngine) -> None:
    status, answer = asked(engine, "--tenant contoso --user frank --to 911")

    assert status == GRANTED
    assert answer["grant"] == {"emergency": True, "dialAs": "911"}


def test_the_same_question_gets_the_same_answer_byte_for_byte_also_after_the_balance_changed(
    engine: OwnEngine,
) -> None:
    abroad = "--tenant contoso --user adele --to +390612345678 --call-id"

    first = typed(engine, f"{abroad} same-1")
    other = typed(engine, f"{abroad} same-2")
    again = typed(engine, f"{abroad} same-1")

    assert first[0] == GRANTED
    assert other[1] != first[1]
    assert again == first


def test_the_same_question_about_another_number_is_a_conflict_and_the_next_one_is_new(
    engine: OwnEngine,
) -> None:
    call = "--tenant contoso --user adele --call-id conflict-1"
    typed(engine, f"{call} --to +14255550123")

    same = typed(engine, f"{call} --to +14255550199")
    following = typed(engine, f"{call} --to +14255550199 --sequence 2")

    assert same == (WRONG_USAGE, "")
    assert following[0] == GRANTED


def test_without_a_store_calls_get_no_answer_and_emergencies_are_granted(
    engine: OwnEngine,
) -> None:
    with store_frozen(engine):
        metered = typed(engine, "--tenant contoso --user adele --to +14255550123")
        status, emergency = asked(engine, "--tenant contoso --user frank --to 911")

    assert metered == (NO_ANSWER, "")
    assert status == GRANTED
    assert emergency["grant"]["emergency"]
