"""What is sent for what was typed."""

from __future__ import annotations

import pytest
from google.protobuf.json_format import MessageToDict

from callgate.v1.authorization_pb2 import AuthorizeCallRequest
from scripted_engine import Script
from terminal import Terminal

TO = ("authorize", "--tenant", "contoso", "--to", "+14255550123")


def asked(engine: Script, terminal: Terminal, *words: str) -> AuthorizeCallRequest:
    terminal.type(*words)
    return engine.questions[-1]


@pytest.mark.parametrize(
    ("words", "kind", "content"),
    [
        (["--user", "u"], "user_call", {"userId": "u"}),
        (["--kind", "user", "--user", "u"], "user_call", {"userId": "u"}),
        (["--kind", "forwarded", "--user", "u"], "forwarded_call", {"userId": "u"}),
        (["--kind", "transferred", "--user", "u"], "transferred_call", {"userId": "u"}),
        (["--kind", "added-party", "--user", "u"], "added_party_call", {"userId": "u"}),
        (["--kind", "meeting", "--user", "u"], "meeting_dial_out", {"organizerId": "u"}),
        (["--kind", "meeting", "--organizer", "u"], "meeting_dial_out", {"organizerId": "u"}),
        (["--kind", "call-me", "--organizer", "u"], "call_me", {"organizerId": "u"}),
        (["--kind", "toll-free"], "service_number_call", {}),
        (["--kind", "toll"], "service_number_call", {}),
        (["--kind", "toll-free", "--organizer", "u"], "service_number_call", {"organizerId": "u"}),
        (
            ["--kind", "attendant", "--account", "a", "--account", "b"],
            "attendant_transfer",
            {"resourceAccountIds": ["a", "b"]},
        ),
        (["--kind", "queue", "--account", "a"], "queue_transfer", {"resourceAccountIds": ["a"]}),
        (["--kind", "inbound", "--user", "u"], "inbound_call", {"userId": "u"}),
    ],
)
def test_each_kind_is_sent_with_the_account_that_pays(
    engine: Script, terminal: Terminal, words: list[str], kind: str, content: dict[str, object]
) -> None:
    question = asked(engine, terminal, *TO, *words)

    assert question.WhichOneof("kind") == kind
    assert MessageToDict(getattr(question, kind)) == content


def test_every_kind_of_the_contract_can_be_asked_about() -> None:
    from callgate.command.question import KINDS

    fields = AuthorizeCallRequest.DESCRIPTOR.oneofs_by_name["kind"].fields

    assert {field for field, _ in KINDS.values()} == {field.name for field in fields}


def test_every_option_is_sent(engine: Script, terminal: Terminal) -> None:
    question = asked(
        engine,
        terminal,
        *(*TO, "--user", "adele", "--from", "+12065550111", "--location", "IT"),
        *("--seconds", "90", "--call-id", "call-1", "--sequence", "3", "--gateway", "sbc-1"),
        *("--dry-run", "--explain"),
    )

    assert MessageToDict(question) == {
        "tenantId": "contoso",
        "gatewayId": "sbc-1",
        "callId": "call-1",
        "sequence": "3",
        "calledNumber": "+14255550123",
        "callingNumber": "+12065550111",
        "location": "IT",
        "requestedDuration": "90s",
        "dryRun": True,
        "explain": True,
        "userCall": {"userId": "adele"},
    }


def test_a_call_gets_an_id_of_its_own_and_starts_with_sequence_1(
    engine: Script, terminal: Terminal
) -> None:
    first = asked(engine, terminal, *TO, "--user", "adele")
    second = asked(engine, terminal, *TO, "--user", "adele")

    assert first.call_id != second.call_id
    assert first.sequence == second.sequence == 1
    assert not first.HasField("requested_duration")


def test_the_service_number_may_be_named_as_such(engine: Script, terminal: Terminal) -> None:
    words = ("authorize", "--kind", "toll-free", "--from", "+14255550123")

    question = asked(engine, terminal, *words, "--service-number", "+18005550100")

    assert question.called_number == "+18005550100"
    assert question.calling_number == "+14255550123"


def test_a_call_to_a_users_own_number_needs_no_number(engine: Script, terminal: Terminal) -> None:
    words = ("authorize", "--tenant", "contoso", "--kind", "inbound", "--user", "adele")

    assert asked(engine, terminal, *words).called_number == ""


def test_an_emergency_number_needs_no_more_than_a_location(
    engine: Script, terminal: Terminal
) -> None:
    question = asked(engine, terminal, "authorize", "--to", "112", "--location", "IT")

    assert question.WhichOneof("kind") is None
    assert question.called_number == "112"
