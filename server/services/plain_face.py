"""Questions by query parameters, answered by one line: for switches that read no JSON.

`docs/http.md` tells callers what is asked how, and what they must guarantee.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import grpc

from callgate.v1 import authorization_pb2 as pb
from server.services.plain_answers import FORMATS, Told, written
from server.transport import connect_wire as wire
from server.transport.connect import ConnectServer
from server.transport.http.exchange import Answered, Asked, BodyRefused

_SERVICE = "/callgate.v1.AuthorizationService/"
_ASK, _EXTEND = f"{_SERVICE}AuthorizeCall", f"{_SERVICE}ExtendCall"
_SETTLE, _RELEASE = f"{_SERVICE}SettleCall", f"{_SERVICE}ReleaseCall"
PATHS = frozenset({"/ask", "/report", "/release"})

_DEFAULT_GATEWAY = "http"
_ASK_SEQUENCE = 1
# A report is this and its seconds: the same report is the same question, an older one is older.
_FIRST_REPORT_SEQUENCE = 2
# Above any report: a call ends once, however often and by whichever path its end is told.
END_SEQUENCE = 1_000_000_000

_OF_ALL = frozenset({"tenant", "gateway", "call", "sequence", "format"})
_ALLOWED: Mapping[str, frozenset[str]] = {
    "/ask": _OF_ALL | {"user", "to", "from", "kind", "seconds", "location"},
    "/report": _OF_ALL | {"seconds", "end"},
    "/release": _OF_ALL,
}
# In none of these may stand a space, so that one is a "+" that was not escaped.
_IDS = ("tenant", "gateway", "call", "user")
_NUMBERS = ("to", "from")
_TEXTS = {
    "tenant": "tenant_id",
    "gateway": "gateway_id",
    "call": "call_id",
    "to": "called_number",
    "from": "calling_number",
    "location": "location",
}
_KINDS = {
    "user": ("user_call", "user_id"),
    "forwarded": ("forwarded_call", "user_id"),
    "transferred": ("transferred_call", "user_id"),
    "added_party": ("added_party_call", "user_id"),
    "meeting": ("meeting_dial_out", "organizer_id"),
    "call_me": ("call_me", "organizer_id"),
    "service_number": ("service_number_call", "organizer_id"),
    "attendant": ("attendant_transfer", "resource_account_ids"),
    "queue": ("queue_transfer", "resource_account_ids"),
    "inbound": ("inbound_call", "user_id"),
}
_NAMES = {field: name for name, field in _TEXTS.items()} | {
    "requested_duration": "seconds",
    "used_duration": "seconds",
    "user_id": "user",
    "organizer_id": "user",
    "resource_account_ids": "user",
}
_NAMED = re.compile(r"[a-z_.\[\]0-9]+(?=:)")
_WHOLE = re.compile(r"[0-9]{1,15}")
_FORM = "application/x-www-form-urlencoded"
# At which every reader of protobuf's bytes stops; an emergency is found before it.
_BREAK = b"\xff"
_SOMEBODY_ELSES_PAGE, _GONE = 403, 410
# An emergency has no end; a switch that wants a number gets a day.
_ENDLESS_SECONDS = 86_400


async def answer(methods: ConnectServer, asked: Asked) -> Answered:
    """Answer a request at one of `PATHS`."""
    texts = [asked.query]
    form = "text"
    try:
        _check_head(asked)
        if asked.method == "POST":
            texts.append(await _form(methods, asked))
        given = _parameters(asked.path, "&".join(filter(None, texts)))
        form = given.get("format", "text")
        told = await _told(methods, asked, given)
    except (wire.Refused, BodyRefused) as refused:
        error = (
            refused.answered if isinstance(refused, wire.Refused) else wire.refused_body(refused)
        )
        told = await _emergency(methods, asked, "&".join(texts)) or _failure(error)
    return written(told, form)


def _check_head(asked: Asked) -> None:
    """Raise `Refused` where the method is wrong, or a page that somebody looks at asks."""
    if asked.method not in {"GET", "POST"}:
        raise wire.Refused(
            f"method: {asked.method[:32]} is not served here; use GET or POST",
            wire.WRONG_METHOD,
            code=grpc.StatusCode.UNIMPLEMENTED,
            headers={"Allow": "GET, POST"},
        )
    if asked.headers.get("sec-fetch-site", "none") != "none" and "origin" not in asked.headers:
        text = "sec-fetch-site: a page may not ask by a link or a picture; let it POST"
        code = grpc.StatusCode.PERMISSION_DENIED
        raise wire.Refused(text, _SOMEBODY_ELSES_PAGE, code=code)


async def _form(methods: ConnectServer, asked: Asked) -> str:
    kind = wire.media_type(asked)
    if kind not in {"", _FORM}:
        text = f'content-type: "{kind[:64]}" is not known here; use {_FORM}'
        raise wire.Refused(text, wire.WRONG_TYPE)
    body = await methods.body(asked)
    return body.decode("latin-1").strip("\r\n")


def _parameters(path: str, text: str) -> dict[str, str]:
    given = _unspaced(wire.parameters(text))
    for name in given:
        if name not in _ALLOWED[path]:
            allowed = ", ".join(sorted(_ALLOWED[path]))
            raise wire.Refused(f"{name[:64]}: is no parameter of {path}; they are {allowed}")
    if given.get("format", "text") not in FORMATS:
        raise wire.Refused(f"format: must be one of {', '.join(FORMATS)}")
    if path != "/ask":
        for name in ("tenant", "call"):
            if not given.get(name):
                raise wire.Refused(f"{name}: is needed, as it was asked with")
    return given


def _unspaced(given: Mapping[str, str]) -> dict[str, str]:
    """Put back each "+" that was sent as it is, which a query takes for a space."""
    put_back = dict(given)
    for name in _IDS:
        if name in put_back:
            put_back[name] = put_back[name].replace(" ", "+")
    for name in _NUMBERS:
        if put_back.get(name, "").startswith(" "):
            put_back[name] = "+" + put_back[name][1:]
    return put_back


async def _told(methods: ConnectServer, asked: Asked, given: Mapping[str, str]) -> Told:
    path, request = _request(asked.path, given)
    context = await methods.call(path, asked, request.SerializeToString())
    if context.ending is not None:
        return _failure(methods.failed(context.ending))
    return _answer(path, request, context.answered or b"")


def _request(path: str, given: Mapping[str, str]) -> tuple[str, Any]:
    if path == "/ask":
        return _ASK, _question(given)
    common: dict[str, Any] = {
        "tenant_id": given["tenant"],
        "gateway_id": given.get("gateway", _DEFAULT_GATEWAY),
        "call_id": given["call"],
    }
    if path == "/release":
        return _RELEASE, pb.ReleaseCallRequest(**common, sequence=_sequence(given, END_SEQUENCE))
    if "seconds" not in given:
        raise wire.Refused("seconds: is needed, those used since the call was answered")
    used = _whole("seconds", given["seconds"])
    if given.get("end", "0") not in {"0", "1"}:
        raise wire.Refused("end: must be 1 at the end of the call, else 0 or left out")
    if given.get("end") == "1":
        end = pb.SettleCallRequest(**common, sequence=_sequence(given, END_SEQUENCE))
        end.used_duration.seconds = used
        return _SETTLE, end
    sequence = _sequence(given, _FIRST_REPORT_SEQUENCE + used)
    report = pb.ExtendCallRequest(**common, sequence=sequence)
    report.used_duration.seconds = used
    return _EXTEND, report


def _question(given: Mapping[str, str]) -> pb.AuthorizeCallRequest:
    request = _texts_of(given)
    request.gateway_id = given.get("gateway", _DEFAULT_GATEWAY)
    request.sequence = _sequence(given, _ASK_SEQUENCE)
    if given.get("seconds"):
        request.requested_duration.seconds = _whole("seconds", given["seconds"])
    kind = given.get("kind", "user")
    if kind not in _KINDS:
        raise wire.Refused(f"kind: must be one of {', '.join(_KINDS)}")
    name, person = _KINDS[kind]
    call, user = getattr(request, name), given.get("user", "")
    call.SetInParent()
    if person == "resource_account_ids":
        call.resource_account_ids.extend(user.split(","))
    else:
        setattr(call, person, user)
    return request


def _texts_of(given: Mapping[str, str]) -> pb.AuthorizeCallRequest:
    texts: dict[str, Any] = {_TEXTS[name]: given[name] for name in _TEXTS if name in given}
    return pb.AuthorizeCallRequest(**texts)


def _sequence(given: Mapping[str, str], made: int) -> int:
    return _whole("sequence", given["sequence"]) if "sequence" in given else made


def _whole(name: str, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise wire.Refused(f"{name}: must be a whole number of 1 to 15 digits")
    return int(text)


async def _emergency(methods: ConnectServer, asked: Asked, text: str) -> Told | None:
    """Look for an emergency in a question that is to be refused, as far as it can be read."""
    if asked.path != "/ask" or asked.method not in {"GET", "POST"}:
        return None
    pairs = parse_qsl(text, keep_blank_values=True, errors="replace")
    request = _texts_of(_unspaced(dict(reversed(pairs))))
    try:
        context = await methods.call(_ASK, asked, request.SerializeToString() + _BREAK)
    except wire.Refused:
        return None
    if context.ending is not None:
        return None
    return _answer(_ASK, request, context.answered or b"")


# --- What was answered ---------------------------------------------------------------------------


def _failure(error: Answered) -> Told:
    """Tell an error in the names that were asked with."""
    said = json.loads(error.body)
    reasons = [detail.get("debug", {}).get("reason") for detail in said.get("details", ())]
    reason = next(filter(None, reasons), said["code"].upper())
    text = _NAMED.sub(_our_name, said["message"], count=1)
    headers = {
        name: error.headers[name] for name in ("Retry-After", "Allow") if name in error.headers
    }
    return Told("error", error.status, {"reason": reason}, text, headers)


def _our_name(found: re.Match[str]) -> str:
    field = re.sub(r"\[[0-9]*\]", "", found[0]).rpartition(".")[2]
    return _NAMES.get(field, found[0])


def _answer(path: str, request: Any, answered: bytes) -> Told:
    named = {"call": request.call_id, "seq": str(request.sequence)}
    if path == _SETTLE:
        return _settled(pb.SettleCallResponse.FromString(answered), named)
    if path == _RELEASE:
        released = pb.ReleaseCallResponse.FromString(answered)
        return Told("released", 200, named | _marks(released, "superseded"))
    if path == _EXTEND:
        return _decided(pb.ExtendCallResponse.FromString(answered), named, dial="")
    asked = pb.AuthorizeCallResponse.FromString(answered)
    return _decided(asked, named, dial=asked.dial or asked.grant.dial_as)


def _decided(answer: Any, named: dict[str, str], *, dial: str) -> Told:
    if answer.HasField("refusal"):
        refusal = answer.refusal
        reason = pb.Reason.Name(refusal.reason).removeprefix("REASON_")
        fields = {"reason": reason, "cause": str(refusal.q850_cause)}
        return Told("refused", refusal.sip_status, fields, refusal.help_text)
    if not answer.HasField("grant"):
        return Told("over", _GONE, named)
    grant = answer.grant
    fields = {
        "seconds": str(grant.granted_duration.seconds or _ENDLESS_SECONDS),
        "final": str(int(grant.final)),
    }
    if dial:
        fields["dial"] = dial
    if grant.redirect_to:
        fields["redirect"] = grant.redirect_to
    marks = _marks(grant, "emergency") | _marks(answer, "superseded")
    return Told("granted", 200, fields | named | marks)


def _settled(answer: pb.SettleCallResponse, named: dict[str, str]) -> Told:
    fields = {"seconds": str(sum(usage.used_duration.seconds for usage in answer.usages))}
    money = [usage.debited for usage in answer.usages if usage.debited.currency_code]
    if money:
        micros = sum(part.micros for part in money)
        fields |= {"debited_micros": str(micros), "currency": money[0].currency_code}
    return Told("settled", 200, fields | named | _marks(answer, "late", "superseded"))


def _marks(answer: Any, *names: str) -> dict[str, str]:
    return {name: "1" for name in names if getattr(answer, name)}
