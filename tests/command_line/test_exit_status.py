"""How a command ends: 0 granted, 3 refused, 2 a question that is not accepted, 4 no answer."""

from __future__ import annotations

import socket

import grpc
import pytest

from answers import emergency, minutes_then_credits, refusal
from callgate.v1.credits_pb2 import GetBalanceResponse
from scripted_engine import Failure, Script
from terminal import Terminal

ADELE_TO_ROME = ("authorize", "--tenant", "contoso", "--user", "adele", "--to", "+390612345678")


def test_a_grant_ends_with_0(engine: Script, terminal: Terminal) -> None:
    engine.answer = minutes_then_credits()

    assert terminal.type(*ADELE_TO_ROME).exit_code == 0


def test_an_emergency_ends_with_0(engine: Script, terminal: Terminal) -> None:
    engine.answer = emergency()

    assert terminal.type("authorize", "--to", "911", "--location", "US").exit_code == 0


def test_a_refusal_ends_with_3_and_is_printed_as_an_answer(
    engine: Script, terminal: Terminal
) -> None:
    engine.answer = refusal()

    result = terminal.type(*ADELE_TO_ROME)

    assert result.exit_code == 3
    assert "REFUSED" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAUTHENTICATED,
    ],
)
def test_a_question_that_is_not_accepted_ends_with_2_and_the_servers_words(
    engine: Script, terminal: Terminal, code: grpc.StatusCode
) -> None:
    engine.answer = Failure(code, "mend this")

    result = terminal.type(*ADELE_TO_ROME)

    assert result.exit_code == 2
    assert f"{code.name}: mend this" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.UNIMPLEMENTED,
    ],
)
def test_no_answer_ends_with_4_and_says_how_to_ask_the_same_again(
    engine: Script, terminal: Terminal, code: grpc.StatusCode
) -> None:
    engine.answer = Failure(code, "not now", reason="LEDGER_UNAVAILABLE")

    result = terminal.type(*ADELE_TO_ROME, "--call-id", "call-7", "--sequence", "4")

    assert result.exit_code == 4
    assert f"{code.name} (LEDGER_UNAVAILABLE): not now" in result.stderr
    assert "--call-id call-7 --sequence 4" in result.stderr
    assert result.stdout == ""


def test_the_random_call_id_of_an_unanswered_question_is_told(
    engine: Script, terminal: Terminal
) -> None:
    engine.answer = Failure(grpc.StatusCode.UNAVAILABLE, "not now")

    result = terminal.type(*ADELE_TO_ROME)

    assert f"--call-id {engine.questions[0].call_id} --sequence 1" in result.stderr


def test_where_nothing_listens_the_message_says_where_and_how_to_start_an_engine() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Bound and not listening: nobody else gets the port.
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        result = Terminal(address).type("balance", "--tenant", "contoso")

    assert result.exit_code == 4
    assert address in result.stderr
    assert "make run" in result.stderr


def test_the_message_about_a_field_names_its_option(engine: Script, terminal: Terminal) -> None:
    engine.answer = Failure(
        grpc.StatusCode.INVALID_ARGUMENT,
        "user_call.user_id: at most 64 characters",
        reason="INVALID_REQUEST",
        metadata={"field": "user_call.user_id"},
    )

    result = terminal.type(*ADELE_TO_ROME)

    assert "user_call.user_id: at most 64 characters" in result.stderr
    assert "--user" in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (ADELE_TO_ROME, "callgate tenants list"),
        (("balance", "--tenant", "nobody"), "callgate tenants list"),
        (("authorize", "--kind", "toll-free", "--to", "+390612345678"), "Give --tenant, or a --to"),
    ],
)
def test_the_message_about_a_tenant_says_where_to_look(
    engine: Script, terminal: Terminal, words: tuple[str, ...], told: str
) -> None:
    forbidden = Failure(
        grpc.StatusCode.PERMISSION_DENIED, "no such tenant", reason="TENANT_FORBIDDEN"
    )
    engine.answer, engine.balance = forbidden, forbidden

    result = terminal.type(*words)

    assert result.exit_code == 2
    assert told in result.stderr


def test_a_listing_that_is_late_says_to_ask_again(engine: Script, terminal: Terminal) -> None:
    engine.balance = Failure(grpc.StatusCode.DEADLINE_EXCEEDED, "late")

    assert "ask again in a moment" in terminal.type("balance", "--tenant", "contoso").stderr


def test_a_question_is_asked_with_a_deadline(engine: Script, terminal: Terminal) -> None:
    engine.answer = minutes_then_credits()

    terminal.type(*ADELE_TO_ROME)

    # On the wire it is rounded up, by a hundredth at most.
    assert 0 < engine.deadlines[0] <= 5.05


def test_a_balance_ends_with_0_and_without_one_to_see_with_2(
    engine: Script, terminal: Terminal
) -> None:
    engine.balance = GetBalanceResponse()
    seen = terminal.type("balance", "--tenant", "contoso")
    engine.balance = Failure(grpc.StatusCode.PERMISSION_DENIED, "no such tenant")
    unseen = terminal.type("balance", "--tenant", "nobody")

    assert (seen.exit_code, unseen.exit_code) == (0, 2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tenant", "t", "--user", "u"], "--to"),
        (["--kind", "user", "--to", "1"], "--user"),
        (["--kind", "meeting", "--to", "1"], "--organizer"),
        (["--kind", "attendant", "--to", "1"], "--account"),
        (["--kind", "queue", "--to", "1", "--account", "a", "--user", "u"], "--account"),
        (["--kind", "user", "--to", "1", "--organizer", "u"], "--user"),
        (["--user", "u", "--to", "1", "--account", "a"], "attendant or queue"),
        (["--user", "u", "--service-number", "1"], "toll-free"),
        (["--kind", "toll", "--service-number", "1", "--to", "2"], "the same number"),
        (["--kind", "call-me", "--to", "1", "--user", "u", "--organizer", "o"], "one of them"),
        (["--kind", "smoke-signal", "--to", "1"], "smoke-signal"),
        (["--user", "u", "--to", "1", "--seconds", "ten"], "ten"),
    ],
)
def test_options_that_do_not_go_together_end_with_2_and_are_never_sent(
    engine: Script, terminal: Terminal, words: list[str], told: str
) -> None:
    result = terminal.type("authorize", *words)

    assert result.exit_code == 2
    assert told in result.stderr
    assert engine.questions == []
