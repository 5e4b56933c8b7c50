"""A broken question still shows an emergency number; an answer is the same bytes every time."""

from __future__ import annotations

import pytest

from callgate.v1 import authorization_pb2 as pb
from number_facts import EMERGENCY
from policy.decision import EmergencyGrant
from policy.emergency import match_emergency
from server.calls.messages.fields import InvalidRequest
from server.calls.messages.lenient import parse_question, serialize_answer
from server.calls.messages.question import call_question

WHOLE = pb.AuthorizeCallRequest(
    tenant_id="contoso",
    gateway_id="sbc-1",
    call_id="abc",
    sequence=1,
    called_number="911",
    calling_number="+14255550123",
    location="US",
    user_call=pb.UserCall(user_id="adele"),
)


def test_a_whole_question_is_read_as_it_was_written() -> None:
    assert parse_question(WHOLE.SerializeToString()) == WHOLE


def test_a_text_that_is_no_utf_8_does_not_hide_the_others() -> None:
    data = WHOLE.SerializeToString().replace(b"abc", b"a\xffc")

    request = parse_question(data)

    assert request.called_number == "911"
    assert request.location == "US"
    with pytest.raises(InvalidRequest, match="call_id"):
        call_question(request)


@pytest.mark.parametrize(
    "rubbish",
    [b"\xff", b"\x0a", b"\x0a\x7f", b"\x0b", b"\xff" * 11, b"\x4a\x05abc", b"\x0a\x02\xc3\x28"],
)
def test_what_was_read_before_a_question_breaks_stands(rubbish: bytes) -> None:
    digits = pb.AuthorizeCallRequest(called_number="911").SerializeToString()

    assert parse_question(digits + rubbish).called_number == "911"


@pytest.mark.parametrize(
    "number", [b"911\xff", b"9\xc31\xff1", b"sip:911@h\xff", b"urn:service:sos\xff"]
)
def test_a_broken_question_about_an_emergency_in_any_spelling_is_one(number: bytes) -> None:
    data = WHOLE.SerializeToString().replace(b"\x03911", b"%c%b" % (len(number), number))

    dialled = parse_question(data).called_number

    assert match_emergency(dialled, ("US",), EMERGENCY) == EmergencyGrant("911", "US")


@pytest.mark.parametrize("length", range(len(WHOLE.SerializeToString())))
def test_a_question_cut_off_anywhere_is_read_without_an_error(length: int) -> None:
    parse_question(WHOLE.SerializeToString()[:length])


def test_a_broken_kind_is_asked_for() -> None:
    data = WHOLE.SerializeToString().replace(b"adele", b"ad\xffle")

    with pytest.raises(InvalidRequest, match="kind"):
        call_question(parse_question(data))


def test_maps_are_written_in_one_order() -> None:
    names = [f"input {number}" for number in range(20)]
    answers = [
        pb.AuthorizeCallResponse(
            explanation=pb.Explanation(checks=[pb.Check(inputs=dict.fromkeys(order, "x"))])
        )
        for order in (names, names[::-1])
    ]

    assert serialize_answer(answers[0]) == serialize_answer(answers[1])
