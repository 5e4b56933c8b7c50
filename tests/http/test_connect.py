"""Whatever is served over gRPC is served over HTTP, as JSON and as protobuf, with one answer."""

from __future__ import annotations

import base64
import json
import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status

from callgate.v1 import authorization_pb2 as pb
from callgate.v1 import credits_pb2, debits_pb2
from case_rows import CaseRow, read_rows
from engines import a_question, running_engine
from http_asking import JSON, PROTO, Answer, Caller, unary_methods

ASK = "/callgate.v1.AuthorizationService/AuthorizeCall"
SETTLE = "/callgate.v1.AuthorizationService/SettleCall"
RELEASE = "/callgate.v1.AuthorizationService/ReleaseCall"
BALANCE = "/callgate.v1.CreditService/GetBalance"
WATCH = "/callgate.v1.DebitService/WatchDebits"


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    folder = tmp_path_factory.mktemp("engine")
    with running_engine(folder, http_listen="127.0.0.1:0", http_token_prefix="/key/") as engine:
        caller = Caller(engine)
        yield caller
        caller.channel.close()


# --- The same answers ----------------------------------------------------------------------------


METHODS = unary_methods()
READS = [path for path, method in METHODS.items() if method.GetOptions().idempotency_level == 1]


def test_the_contract_is_all_there() -> None:
    assert len(METHODS) > 50
    assert BALANCE in READS
    assert ASK not in READS


def as_failure(answer: Answer) -> tuple[str, str, bytes]:
    details = Status()
    for detail in answer.told.get("details", ()):
        packed = details.details.add(type_url=f"type.googleapis.com/{detail['type']}")
        packed.value = base64.b64decode(detail["value"] + "==")
    written: bytes = details.SerializeToString()
    return answer.told["code"], answer.told["message"], written


def details_alone(status: bytes) -> bytes:
    alone: bytes = Status(details=Status.FromString(status).details).SerializeToString()
    return alone


def check_alike(caller: Caller, path: str, request: Message) -> bytes | None:
    """Ask the same thrice, and return the answer where there is one."""
    sent = request.SerializeToString()
    told = caller.ask_grpc(path, sent)
    binary = caller.ask(path, sent, PROTO)
    as_json = caller.ask(path, json_format.MessageToJson(request))
    if isinstance(told, bytes):
        kind = GetMessageClass(METHODS[path].output_type)
        answers = [kind.FromString(told), kind.FromString(binary.body)]
        answers.append(json_format.Parse(as_json.body, kind()))
        # Of an emergency nothing is stored; reports are complete until a moment ago.
        is_emergency = isinstance(answers[0], pb.AuthorizeCallResponse) and (
            answers[0].grant.emergency
        )
        for name in ("decide_time",) if is_emergency else ("complete_time",):
            if name in kind.DESCRIPTOR.fields_by_name:
                for answer in answers:
                    answer.ClearField(name)
        assert answers[0] == answers[1] == answers[2]
        return told
    expected = (*told[:2], details_alone(told[2]))
    assert as_failure(binary) == as_failure(as_json) == expected
    assert binary.status == as_json.status >= 400
    return None


@pytest.mark.parametrize("path", [path for path in METHODS if "ReloadFacts" not in path])
def test_an_empty_request_is_answered_alike_whichever_way_it_comes(
    caller: Caller, path: str
) -> None:
    check_alike(caller, path, GetMessageClass(METHODS[path].input_type)())


@pytest.mark.parametrize("path", READS)
def test_a_tenants_facts_are_read_alike_whichever_way_they_are_asked_for(
    caller: Caller, path: str
) -> None:
    request = GetMessageClass(METHODS[path].input_type)()
    for name in ("tenant_id", "user_id", "location"):
        if name in request.DESCRIPTOR.fields_by_name:
            setattr(request, name, {"tenant_id": "contoso", "user_id": "adele"}.get(name, "IT"))

    check_alike(caller, path, request)


_KINDS = {
    "user": ("user_call", "user_id"),
    "forwarded": ("forwarded_call", "user_id"),
    "transferred": ("transferred_call", "user_id"),
    "added_party": ("added_party_call", "user_id"),
    "meeting": ("meeting_dial_out", "organizer_id"),
    "call_me": ("call_me", "organizer_id"),
    "service_number": ("service_number_call", "organizer_id"),
    "inbound": ("inbound_call", "user_id"),
}
ASKED = [pytest.param(row, id=row.row_id) for row in read_rows() if "call" in row.content]


@pytest.mark.parametrize("row", ASKED)
def test_a_case_is_answered_alike_whichever_way_it_is_asked(caller: Caller, row: CaseRow) -> None:
    call = row.content["call"]
    request = a_question(call.get("to", ""), calling_number=call.get("from", ""), user_call=None)
    kind, person = _KINDS.get(call["kind"], ("attendant_transfer", "resource_account_ids"))
    if person == "resource_account_ids":
        getattr(request, kind).resource_account_ids.append("main-attendant")
    else:
        setattr(getattr(request, kind), person, "adele")

    check_alike(caller, ASK, request)
    # What it holds would be missing to the calls of other tests.
    check_alike(caller, RELEASE, the_end(request))
    request.explain = True
    request.call_id += "-explained"
    check_alike(caller, ASK, request)
    check_alike(caller, RELEASE, the_end(request))


def the_end(question: pb.AuthorizeCallRequest) -> pb.ReleaseCallRequest:
    return pb.ReleaseCallRequest(
        tenant_id=question.tenant_id,
        gateway_id=question.gateway_id,
        call_id=question.call_id,
        sequence=question.sequence + 1,
    )


def test_a_settled_call_is_charged_once_whichever_way_its_end_is_told(caller: Caller) -> None:
    question = a_question("+390612345678")
    assert caller.engine.ask(question).HasField("grant")
    end = pb.SettleCallRequest(
        tenant_id="contoso", gateway_id="sbc-1", call_id=question.call_id, sequence=2
    )
    end.used_duration.seconds = 61
    balance = credits_pb2.GetBalanceRequest(tenant_id="contoso")

    answer = check_alike(caller, SETTLE, end)
    before = check_alike(caller, BALANCE, balance)
    check_alike(caller, SETTLE, end)

    assert answer is not None
    assert check_alike(caller, BALANCE, balance) == before


# --- JSON ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"tenantId": "contoso", "colour": 1}', "colour"),
        ('{"userCall": {"colour": 1}}', "userCall.colour"),
        ('{"sequence": "abc"}', "sequence"),
        ('{"sequence": 1.5}', "sequence"),
        ('{"sequence": 1e300}', "sequence"),
        ('{"calledNumber": 5}', "calledNumber"),
        ('{"calledNumber": "\\ud800"}', "calledNumber"),
        ('{"userCall": {"userId": []}}', "userId"),
        ('{"callId": "a", "callId": "b"}', "callId"),
        ("{", "body"),
        ("[]", "body"),
        ("", "body"),
        ("null", "body"),
        ('{"sequence": NaN}', "body"),
        ('{"a":' * 5_000, "body"),
        ("\udcff".encode("utf-8", "surrogateescape"), "body"),
        ('{"sequence": ' + "9" * 6_000 + "}", "body"),
        ('{"tenantId": "NOT/ONE", "callId": "1"}', "gateway_id"),
    ],
)
def test_json_that_is_no_question_names_the_field(
    caller: Caller, body: str | bytes, field: str
) -> None:
    answer = caller.ask(ASK, body)

    assert answer.status == 400
    assert answer.told["message"].startswith(field + ":"), answer.told["message"]
    assert answer.told["details"][0]["debug"]["metadata"] == {"field": field}


def test_unknown_fields_are_passed_over_where_that_is_asked_for(caller: Caller) -> None:
    body = '{"tenantId": "contoso", "colour": "blue"}'

    assert caller.ask(BALANCE, body).status == 400
    assert caller.ask(BALANCE, body, ignore_unknown_fields="true").status == 200
    assert caller.ask(f"{BALANCE}?ignore-unknown-fields=1", body).status == 200


@pytest.mark.parametrize("sequence", ['"7"', "7"])
def test_a_whole_number_may_be_a_text(caller: Caller, sequence: str) -> None:
    question = json.loads(json_format.MessageToJson(a_question())) | {
        "sequence": json.loads(sequence)
    }

    assert "grant" in caller.ask(ASK, json.dumps(question)).told


@pytest.mark.parametrize(
    "body",
    [
        '{"tenantId": "contoso", "calledNumber": "911", "colour": 1}',
        '{"tenantId": "contoso", "calledNumber": "911", "sequence": {}}',
        '{"tenantId": "contoso", "called_number": "911", "userCall": 5}',
        '{"tenantId": "contoso", "callId": "\\ud800", "calledNumber": "911"}',
        '{"tenantId": "contoso", "calledNumber": "911", "userCall": {',
        '{"tenantId": "contoso", "calledNumber": "911"',
    ],
)
def test_an_emergency_is_found_in_broken_json(caller: Caller, body: str) -> None:
    answer = caller.ask(ASK, body)

    assert (answer.status, answer.told["grant"]["emergency"]) == (200, True)


def test_an_emergency_leg_is_found_in_broken_json(caller: Caller) -> None:
    legs = [{"tenantId": "contoso", "calledNumber": "911"}, {"tenantId": "contoso", "colour": 1}]

    answer = caller.ask(ASK + "s", json.dumps({"legs": legs}))

    assert answer.status == 200  # As over gRPC: the others are to be asked for again alone.
    assert [leg.get("grant", {}).get("emergency") for leg in answer.told["answers"]] == [True, None]


# --- The protocol --------------------------------------------------------------------------------


def test_a_get_reads_and_changes_nothing(caller: Caller) -> None:
    answer = caller.ask(f"{BALANCE}?encoding=json&message=%7B%22tenantId%22%3A%22contoso%22%7D")

    assert (answer.status, "available" in answer.told) == (200, True)
    refused = caller.ask(f"{ASK}?encoding=json&message=%7B%7D")
    assert (refused.status, refused.headers["Allow"]) == (405, "POST")


def test_gzip_is_read_and_written(caller: Caller) -> None:
    packer = zlib.compressobj(wbits=31)
    body = packer.compress(b'{"tenantId": "contoso"}') + packer.flush()

    answer = caller.ask(
        "/callgate.v1.DirectoryService/ListUsers",
        body,
        content_encoding="gzip",
        accept_encoding="gzip",
    )

    assert (answer.status, answer.headers["Content-Encoding"]) == (200, "gzip")
    assert json.loads(zlib.decompress(answer.body, 31))["users"]


@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [
        ({"connect_timeout_ms": "soon"}, 400, "connect-timeout-ms"),
        ({"connect_timeout_ms": "12345678901"}, 400, "connect-timeout-ms"),
        ({"connect_protocol_version": "2"}, 400, "connect-protocol-version"),
        ({"content_encoding": "br"}, 501, "content-encoding"),
        ({"content_encoding": "gzip"}, 400, "body"),
        ({"connect_timeout_ms": "0"}, 504, "deadline"),
        ({f"x-{number}": "y" * 4_000 for number in range(5)}, 431, "headers"),
        ({"origin": "https://evil.example"}, 403, "origin"),
    ],
)
def test_headers_that_are_wrong_are_named(
    caller: Caller, headers: dict[str, str], status: int, word: str
) -> None:
    answer = caller.ask(BALANCE, "{}", **headers)

    assert answer.status == status
    assert answer.told["message"].startswith(word) or word in answer.told["message"]


def test_wrong_types_methods_paths_and_sizes_are_named(caller: Caller) -> None:
    assert caller.ask(ASK, "{}", "text/plain").status == 415
    assert caller.ask("/callgate.v1.Nothing/At_All", "{}").status == 404
    assert caller.ask("/callgate.v1.AuthorizationService/ControlCalls", "{}").status == 404
    assert caller.ask(WATCH, "{}").status == 415
    large = caller.ask(ASK, b" " * 70_000)
    assert (large.status, "max_message_bytes" in large.told["message"]) == (413, True)
    packer = zlib.compressobj(wbits=31)
    bomb = packer.compress(b" " * 10_000_000) + packer.flush()
    assert caller.ask(ASK, bomb, content_encoding="gzip").status == 413


def test_a_plain_get_says_what_listens_here(caller: Caller) -> None:
    answer = caller.ask("/")

    assert answer.status == 200
    assert answer.body.count(b"\n") == 1
    assert b"callgate" in answer.body


def broken(chance: random.Random) -> bytes:
    """Break a question in one of the ways that callers break them."""
    told: dict[str, Any] = json.loads(json_format.MessageToJson(a_question()))
    strange: list[Any] = [
        None,
        True,
        -1,
        2**70,
        1.5,
        "\ud800",
        [],
        {},
        [{}],
        "x" * 3_000,
        {"a": {"b": []}},
    ]
    if chance.random() < 0.5:
        told[chance.choice([*told, "colour", "", "é"])] = chance.choice(strange)
        return json.dumps(told).encode()
    text = bytearray(json.dumps(told).encode())
    for _ in range(chance.randrange(1, 6)):
        text[chance.randrange(len(text))] = chance.randrange(256)
    return bytes(text[: chance.randrange(len(text))] if chance.random() < 0.3 else text)


def test_no_question_however_broken_meets_a_bug(caller: Caller) -> None:
    chance = random.Random(17)
    for _ in range(150):
        body = broken(chance)
        answer = caller.ask(ASK, body)
        assert answer.status == 200 or 400 <= answer.status < 500, (body, answer)
        if answer.status == 400:
            field, _, fix = answer.told["message"].partition(": ")
            assert field, body
            assert fix, body


# --- Streams -------------------------------------------------------------------------------------


def events(response: HTTPResponse) -> Iterator[dict[str, str]]:
    """Yield events as lines come; comments under an empty name."""
    event: dict[str, str] = {}
    while line := response.readline():
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if value:
            event[name] = value
        elif event:
            yield event
            event = {}


@contextmanager
def watch(caller: Caller, **headers: str) -> Iterator[Iterator[dict[str, str]]]:
    connection = caller.open()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = '{"tenantId": "contoso"}'
    connection.request(
        "POST", WATCH, body, {"content-type": JSON, "accept": "text/event-stream", **named}
    )
    response = connection.getresponse()
    try:
        yield events(response)
    finally:
        response.close()
        connection.close()


def test_debits_are_watched_as_events_and_resumed_by_their_ids(caller: Caller) -> None:
    question = a_question("+390612345678")
    with watch(caller) as watched:
        checkpoint = next(watched)
        assert caller.engine.ask(question).HasField("grant")
        event = next(one for one in watched if "data" in one)
    with watch(caller, last_event_id=checkpoint["id"]) as resumed:
        again = next(resumed)
    entries = debits_pb2.WatchDebitsResponse()
    json_format.Parse(event["data"], entries)

    assert checkpoint[""].startswith("checkpoint")
    assert entries.entries[0].call_id == question.call_id
    assert (event["id"], json.loads(again["data"])["entries"][0]["callId"]) == (
        entries.cursor,
        question.call_id,
    )


def test_a_watch_that_cannot_begin_fails_as_any_question(caller: Caller) -> None:
    answer = caller.ask(WATCH, '{"tenantId": "nobody"}', accept="text/event-stream")

    assert (answer.status, answer.told["code"]) == (403, "permission_denied")
