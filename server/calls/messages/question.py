"""A question from the wire, as a call within every field limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.authorization_pb2 import AuthorizeCallRequest
from policy.facts import Call, CallKind
from server.calls.messages import fields as limits
from server.calls.messages.fields import InvalidRequest


class CallQuestion(NamedTuple):
    """What is asked about one call. `call.tenant_id` may be empty: its service number leads to it.

    In a dry run `gateway_id`, `call_id` may be empty and `sequence` 0.
    """

    call: Call
    gateway_id: str
    call_id: str
    sequence: int
    dry_run: bool
    explain: bool
    # Of a call that is announced as running: what it used so far. None of a new one.
    used_seconds: int | None = None
    # The decision that it runs on; empty where the gateway names none.
    running_on: str = ""


def call_question(request: AuthorizeCallRequest) -> CallQuestion:
    """Translate a question. Raises `InvalidRequest`, which names the first field that is wrong."""
    # In a dry run nothing is stored, so that these may be left out.
    dry_run = request.dry_run
    gateway_id, call_id, sequence = request.gateway_id, request.call_id, request.sequence
    if gateway_id or not dry_run:
        limits.an_id("gateway_id", gateway_id)
    if call_id or not dry_run:
        limits.call_id(call_id)
    call = _call(request)
    if sequence or not dry_run:
        limits.sequence(sequence)
    used_seconds, running_on = None, ""
    if request.HasField("running_call"):
        running = request.running_call
        used_seconds = limits.used_seconds(running.used_duration, "running_call.used_duration")
        running_on = limits.decision_id("running_call.decision_id", running.decision_id)
    return CallQuestion(
        call,
        gateway_id,
        call_id,
        sequence,
        dry_run=dry_run,
        explain=request.explain,
        used_seconds=used_seconds,
        running_on=running_on,
    )


def account_of(request: AuthorizeCallRequest) -> str:
    """Say which account the kind speaks of, unchecked; empty where there is none."""
    kind = request.WhichOneof("kind")
    if kind is None:
        return ""
    part = getattr(request, kind)
    for field in ("user_id", "organizer_id"):
        if hasattr(part, field):
            return str(getattr(part, field))
    return part.resource_account_ids[0] if part.resource_account_ids else ""


def _call(request: AuthorizeCallRequest) -> Call:
    kind = request.WhichOneof("kind")
    if kind is None:
        raise InvalidRequest("kind", "one kind of call, such as user_call; it decides who pays")
    domain_kind, accounts = _KINDS[kind]
    part = getattr(request, kind)
    is_service = domain_kind is CallKind.SERVICE_NUMBER
    called_number = limits.a_number("called_number", request.called_number)
    if not called_number and domain_kind is not CallKind.INBOUND:
        raise InvalidRequest("called_number", "the digits as dialled, or an E.164 number")
    return Call(
        kind=domain_kind,
        tenant_id=""
        if is_service and not request.tenant_id
        else limits.tenant_id(request.tenant_id),
        called_number=called_number,
        calling_number=limits.a_number("calling_number", request.calling_number),
        account_ids=accounts(part),
        service_number=called_number if is_service else "",
        location=limits.location(request.location),
        requested_seconds=limits.requested_seconds(request.requested_duration)
        if request.HasField("requested_duration")
        else 0,
        emergency_callback=kind == "inbound_call" and part.emergency_callback,
    )


def _user(part: Any) -> tuple[str, ...]:
    return (limits.account_id("user_id", part.user_id),)


def _organizer(part: Any) -> tuple[str, ...]:
    return (limits.account_id("organizer_id", part.organizer_id),)


def _organizer_if_known(part: Any) -> tuple[str, ...]:
    return _organizer(part) if part.organizer_id else ()


def _resource_accounts(part: Any) -> tuple[str, ...]:
    ids = part.resource_account_ids
    if not 1 <= len(ids) <= limits.MAX_RESOURCE_ACCOUNTS:
        raise InvalidRequest(
            "resource_account_ids", f"1 to {limits.MAX_RESOURCE_ACCOUNTS} accounts, the first first"
        )
    return tuple(limits.account_id("resource_account_ids", one) for one in ids)


# By the name of the field in the oneof.
_KINDS: dict[str, tuple[CallKind, Callable[[Any], tuple[str, ...]]]] = {
    "user_call": (CallKind.USER, _user),
    "forwarded_call": (CallKind.FORWARDED, _user),
    "transferred_call": (CallKind.TRANSFERRED, _user),
    "added_party_call": (CallKind.ADDED_PARTY, _user),
    "meeting_dial_out": (CallKind.MEETING_DIAL_OUT, _organizer),
    "call_me": (CallKind.CALL_ME, _organizer),
    "service_number_call": (CallKind.SERVICE_NUMBER, _organizer_if_known),
    "attendant_transfer": (CallKind.ATTENDANT_TRANSFER, _resource_accounts),
    "queue_transfer": (CallKind.QUEUE_TRANSFER, _resource_accounts),
    "inbound_call": (CallKind.INBOUND, _user),
}

MAX_LEGS = 50

_MODES = (pb.LEG_MODE_ALL_OR_NOTHING, pb.LEG_MODE_AS_MANY_AS_FIT)


def leg_questions(
    request: pb.AuthorizeCallsRequest, places: list[int]
) -> Mapping[int, CallQuestion]:
    """Translate the legs at these places. Raises `InvalidRequest`, which names leg and field."""
    check_legs(request)
    if request.mode not in _MODES:
        raise InvalidRequest("mode", "LEG_MODE_ALL_OR_NOTHING or LEG_MODE_AS_MANY_AS_FIT")
    questions: dict[int, CallQuestion] = {}
    call_ids: set[str] = set()
    for place in places:
        with naming_leg(place):
            question = call_question(request.legs[place])
        if question.dry_run:
            raise InvalidRequest(f"legs[{place}].dry_run", "false; a dry run is about one call")
        if question.call_id in call_ids:
            raise InvalidRequest(f"legs[{place}].call_id", "another one than that of other legs")
        call_ids.add(question.call_id)
        questions[place] = question
    return questions


@contextmanager
def naming_leg(place: int) -> Iterator[None]:
    """Say of a field that is wrong to which leg it belongs."""
    try:
        yield
    except InvalidRequest as error:
        raise InvalidRequest(f"legs[{place}].{error.field}", error.fix) from error


def check_legs(request: pb.AuthorizeCallsRequest) -> None:
    """Raise `InvalidRequest` where there are no legs, or too many."""
    if not 1 <= len(request.legs) <= MAX_LEGS:
        raise InvalidRequest("legs", f"1 to {MAX_LEGS} legs")
