"""A question from the wire is translated within limits; what is beyond them is named."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from callgate.v1 import authorization_pb2 as pb
from facts import a_tenant, a_user
from policy.facts import Call, CallKind
from server.calls.fingerprint import fingerprint
from server.calls.messages.fields import InvalidRequest
from server.calls.messages.question import account_of, call_question


def a_request(**changes: Any) -> pb.AuthorizeCallRequest:
    fields: dict[str, Any] = {
        "tenant_id": "contoso",
        "gateway_id": "sbc-1",
        "call_id": "abc@127.0.0.1",
        "sequence": 1,
        "called_number": "+390612345678",
        "user_call": pb.UserCall(user_id="bruno"),
    }
    kinds = {field.name for field in pb.AuthorizeCallRequest.DESCRIPTOR.oneofs[0].fields}
    if kinds & set(changes):
        del fields["user_call"]
    return pb.AuthorizeCallRequest(**(fields | changes))


def wrong_field(**changes: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        call_question(a_request(**changes))
    return caught.value.field


def test_a_question_becomes_a_call() -> None:
    request = a_request(
        calling_number="+390698765432", location="it", requested_duration=Duration(seconds=60)
    )

    question = call_question(request)

    assert question.call == Call(
        CallKind.USER,
        "contoso",
        "+390612345678",
        calling_number="+390698765432",
        account_ids=("bruno",),
        location="IT",
        requested_seconds=60,
    )
    assert (question.gateway_id, question.call_id, question.sequence) == (
        "sbc-1",
        "abc@127.0.0.1",
        1,
    )


@pytest.mark.parametrize(
    ("part", "kind", "accounts"),
    [
        ({"forwarded_call": pb.ForwardedCall(user_id="u")}, CallKind.FORWARDED, ("u",)),
        ({"transferred_call": pb.TransferredCall(user_id="u")}, CallKind.TRANSFERRED, ("u",)),
        ({"added_party_call": pb.AddedPartyCall(user_id="u")}, CallKind.ADDED_PARTY, ("u",)),
        (
            {"meeting_dial_out": pb.MeetingDialOut(organizer_id="o")},
            CallKind.MEETING_DIAL_OUT,
            ("o",),
        ),
        ({"call_me": pb.CallMe(organizer_id="o")}, CallKind.CALL_ME, ("o",)),
        ({"service_number_call": pb.ServiceNumberCall()}, CallKind.SERVICE_NUMBER, ()),
        (
            {"attendant_transfer": pb.AttendantTransfer(resource_account_ids=["a", "b"])},
            CallKind.ATTENDANT_TRANSFER,
            ("a", "b"),
        ),
        (
            {"queue_transfer": pb.QueueTransfer(resource_account_ids=["q"])},
            CallKind.QUEUE_TRANSFER,
            ("q",),
        ),
        ({"inbound_call": pb.InboundCall(user_id="u")}, CallKind.INBOUND, ("u",)),
    ],
)
def test_every_kind_of_call_names_its_accounts(
    part: dict[str, Any], kind: CallKind, accounts: tuple[str, ...]
) -> None:
    request = a_request(**part)

    call = call_question(request).call

    assert (call.kind, call.account_ids) == (kind, accounts)
    assert account_of(request) == (accounts[0] if accounts else "")


@pytest.mark.parametrize(
    "call_id", ["a", "x" * 255, ':{}<>[]"\\/?@', "x@[2001:db8::1]", "{p1}:contoso", "%00", "!~"]
)
def test_a_call_id_is_whatever_rfc_3261_allows(call_id: str) -> None:
    assert call_question(a_request(call_id=call_id)).call_id == call_id


@pytest.mark.parametrize("value", ["", "x" * 256, "a b", "a\tb", "a\x00", "caf\u00e9", "\x7f"])
def test_a_call_id_is_printable_ascii_within_its_length(value: str) -> None:
    assert wrong_field(call_id=value) == "call_id"


@pytest.mark.parametrize("value", ["", "x" * 129, "a b", "a\n", "\u0430dele", "a\x1fb"])
def test_ids_are_printable_ascii_within_their_length(value: str) -> None:
    assert wrong_field(gateway_id=value) == "gateway_id"
    assert wrong_field(user_call=pb.UserCall(user_id=value)) == "user_id"
    assert wrong_field(call_me=pb.CallMe(organizer_id=value)) == "organizer_id"
    accounts = pb.QueueTransfer(resource_account_ids=["q", value])
    assert wrong_field(queue_transfer=accounts) == "resource_account_ids"


def test_people_have_longer_names_than_gateways() -> None:
    assert wrong_field(gateway_id="x" * 65) == "gateway_id"
    assert call_question(a_request(user_call=pb.UserCall(user_id="x" * 128))).call.account_ids == (
        "x" * 128,
    )


@pytest.mark.parametrize("value", ["", "Contoso", "a:b", "{p1}", "x" * 65, "a b", "t\u00e9"])
def test_a_tenant_id_has_few_characters(value: str) -> None:
    assert wrong_field(tenant_id=value) == "tenant_id"


def test_parameters_that_never_change_a_number_are_dropped_whatever_their_length() -> None:
    trail = ";verstat=TN-Validation-Passed;tgrp=" + "t" * 64
    request = a_request(called_number="+390612345678" + trail, calling_number="+39061" + trail)

    call = call_question(request).call

    assert (call.called_number, call.calling_number) == ("+390612345678", "+39061")


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("sequence", {"sequence": 0}),
        ("sequence", {"sequence": -1}),
        ("sequence", {"sequence": 2**53}),
        ("called_number", {"called_number": ""}),
        ("called_number", {"called_number": "1" * 65}),
        ("called_number", {"called_number": "+39\x0006"}),
        ("calling_number", {"calling_number": "+39\r\n06"}),
        ("location", {"location": "ITA"}),
        ("location", {"location": "1T"}),
        ("requested_duration", {"requested_duration": Duration(seconds=0)}),
        ("requested_duration", {"requested_duration": Duration(seconds=-5)}),
        ("requested_duration", {"requested_duration": Duration(seconds=86_401)}),
        ("requested_duration", {"requested_duration": Duration(seconds=1, nanos=1)}),
        ("resource_account_ids", {"attendant_transfer": pb.AttendantTransfer()}),
        (
            "resource_account_ids",
            {"attendant_transfer": pb.AttendantTransfer(resource_account_ids=["a"] * 11)},
        ),
    ],
)
def test_a_field_beyond_its_limit_is_named(field: str, changes: dict[str, Any]) -> None:
    assert wrong_field(**changes) == field


def test_the_kind_is_required() -> None:
    request = a_request()
    request.ClearField("user_call")

    with pytest.raises(InvalidRequest, match="kind"):
        call_question(request)


def test_only_a_service_number_leads_to_its_tenant() -> None:
    arriving = a_request(tenant_id="", service_number_call=pb.ServiceNumberCall())

    assert call_question(arriving).call.tenant_id == ""
    assert wrong_field(tenant_id="") == "tenant_id"


def test_only_an_inbound_call_needs_no_called_number() -> None:
    arriving = a_request(called_number="", inbound_call=pb.InboundCall(user_id="bruno"))

    assert call_question(arriving).call.called_number == ""


def test_a_dry_run_needs_no_call_but_one_given_is_checked() -> None:
    dry = call_question(a_request(dry_run=True, gateway_id="", call_id="", sequence=0))

    assert dry.dry_run
    assert wrong_field(dry_run=True, call_id="a b") == "call_id"


def mark(**changes: Any) -> str:
    tenant = a_tenant(a_user("bruno", "MCOEV", location="IT"), a_user("adele", "MCOEV"))
    explain = changes.pop("explain", False)
    return fingerprint(call_question(a_request(**changes)).call, tenant, explain=explain)


@pytest.mark.parametrize("spelling", ["0612345678", "003906 12345678", "+39 06 1234 5678"])
def test_spellings_of_one_number_are_the_same_question(spelling: str) -> None:
    assert mark(called_number=spelling) == mark(called_number="+390612345678")


def test_a_spelling_is_read_by_the_country_of_its_user() -> None:
    of_adele = {"user_call": pb.UserCall(user_id="adele")}

    assert mark(called_number="0612345678", **of_adele) != mark(
        called_number="+390612345678", **of_adele
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"called_number": "+390612345679"},
        {"calling_number": "+390698765432"},
        {"location": "IT"},
        {"requested_duration": Duration(seconds=60)},
        {"explain": True},
        {"user_call": pb.UserCall(user_id="adele")},
        {"forwarded_call": pb.ForwardedCall(user_id="bruno")},
        {"inbound_call": pb.InboundCall(user_id="bruno")},
        {"inbound_call": pb.InboundCall(user_id="bruno", emergency_callback=True)},
        {"called_number": "12ab"},
    ],
)
def test_another_meaning_is_another_question(changes: dict[str, Any]) -> None:
    assert mark(**changes) != mark()


def test_where_a_call_stands_is_no_part_of_what_it_means() -> None:
    assert mark(sequence=9, call_id="other", gateway_id="sbc-2") == mark()
