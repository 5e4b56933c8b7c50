"""One engine and the sample tenants: what is asked over gRPC is answered by the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from callgate.v1 import authorization_pb2 as pb
from engines import Engine, a_question, command, failure_of, running_engine, wait_until

CREDITS_CALL = "+390612345678"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running_engine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


def fcalls(engine: Engine) -> int:
    stats = command(engine.store, "INFO", "commandstats")
    return int(stats.get("cmdstat_fcall", {}).get("calls", 0))


# --- Asking twice ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"called_number": CREDITS_CALL},
        {"called_number": "+14255550123", "user_id": "frank"},
        {"called_number": CREDITS_CALL, "explain": True},
        {"called_number": "+14255550123", "user_id": "bruno", "explain": True},
    ],
)
def test_the_same_question_gets_the_same_bytes_also_after_the_balance_changed(
    engine: Engine, changes: dict[str, object]
) -> None:
    question = a_question(**changes).SerializeToString()  # type: ignore[arg-type] # A table's row.
    first = engine.ask_raw(question)

    spent = engine.ask(a_question(CREDITS_CALL))

    assert spent.HasField("grant")
    assert engine.ask_raw(question) == first


def test_the_same_sequence_with_another_number_is_a_conflict(engine: Engine) -> None:
    question = a_question()
    engine.ask(question)
    question.called_number = "+14255550124"

    failed = failure_of(lambda: engine.ask(question))

    assert (failed.code, failed.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_REUSED")


def test_the_next_sequence_is_a_new_question(engine: Engine) -> None:
    question = a_question("12ab")
    refused = engine.ask(question)
    question.sequence, question.called_number = 2, "+14255550123"

    granted = engine.ask(question)

    assert refused.refusal.reason == pb.REASON_NUMBER_INVALID
    assert granted.grant.granted_duration.seconds == 60
    assert granted.decision_id != refused.decision_id


def test_an_older_sequence_changes_nothing_and_says_so(engine: Engine) -> None:
    question = a_question(CREDITS_CALL, sequence=7)
    engine.ask(question)
    available = engine.balance("contoso").available.micros
    question.sequence = 3

    answer = engine.ask(question)

    assert answer.superseded
    assert engine.balance("contoso").available.micros == available


@pytest.mark.parametrize("spelling", ["06 1234 5678", "00390612345678", "+39 (06) 1234-5678"])
def test_spellings_of_one_number_are_one_question(engine: Engine, spelling: str) -> None:
    """E16: as dialled from Italy, and in full."""
    question = a_question(CREDITS_CALL, user_id="bruno")
    first = engine.ask(question)
    question.called_number = spelling

    assert engine.ask(question) == first
    assert first.called_number == CREDITS_CALL


def test_every_question_is_one_step_of_the_store(tmp_path: Path) -> None:
    asked = [
        a_question(CREDITS_CALL),
        a_question("+14255550123", user_id="frank"),
        a_question("+14255550123", explain=True),
        a_question("+14255550123", dry_run=True),
        a_question("12ab"),
    ]

    # A keeper takes steps of its own, and the first question opens what it needs.
    with running_engine(tmp_path, run_keeper=False) as engine:
        engine.ask(a_question(CREDITS_CALL))
        steps = [fcalls(engine)]
        for question in [*asked, *asked]:
            engine.ask(question)
            steps.append(fcalls(engine))

    taken = [after - before for before, after in pairwise(steps)]
    assert taken[: len(asked)] == [1] * len(asked)
    # Who is answered as before may have been asked about once more on the way.
    assert max(taken) <= 2


def test_a_dry_run_decides_and_changes_nothing(engine: Engine) -> None:
    question = a_question(CREDITS_CALL, dry_run=True, gateway_id="", call_id="", sequence=0)
    available = engine.balance("contoso").available.micros
    keys = command(engine.store, "DBSIZE")

    answer = engine.ask(question)

    assert answer.grant.segments[0].held.micros > 0
    assert engine.balance("contoso").available.micros == available
    assert command(engine.store, "DBSIZE") == keys


def test_a_real_question_after_a_dry_run_is_new(engine: Engine) -> None:
    question = a_question(CREDITS_CALL, dry_run=True)
    dry = engine.ask(question)
    question.dry_run = False

    assert engine.ask(question).decision_id != dry.decision_id


# --- Emergencies -------------------------------------------------------------------------------


def rubbish(called_number: str, **changes: object) -> pb.AuthorizeCallRequest:
    fields: dict[str, object] = {
        "tenant_id": "no such \x00 tenant" * 1_000,
        "gateway_id": "\u202e",
        "call_id": "",
        "sequence": -1,
        "called_number": called_number,
        "calling_number": "\x00" * 100,
        "location": "ZZ",
    }
    return pb.AuthorizeCallRequest(**(fields | changes))  # type: ignore[arg-type] # Rubbish.


def test_an_emergency_is_granted_unmetered_and_without_an_end(engine: Engine) -> None:
    before = fcalls(engine)

    answer = engine.ask(a_question("911", user_id="frank"))

    assert answer.grant.emergency
    assert answer.grant.dial_as == "911"
    assert not answer.grant.HasField("granted_duration")
    assert not answer.grant.HasField("expire_time")
    assert answer.decision_id == ""
    assert not answer.HasField("payer")
    assert fcalls(engine) == before


@pytest.mark.parametrize("location", ["ZZ", "", "U", "\x00", "x" * 1_000])
def test_an_emergency_is_granted_whatever_stands_in_the_other_fields(
    engine: Engine, location: str
) -> None:
    assert engine.ask(rubbish("911", location=location)).grant.emergency


def test_an_emergency_is_granted_though_texts_are_no_text(engine: Engine) -> None:
    question = a_question("911", call_id="call-\x01").SerializeToString()

    answer = engine.ask_raw(question.replace(b"call-\x01", b"call-\xff"))

    assert pb.AuthorizeCallResponse.FromString(answer).grant.emergency


@pytest.mark.parametrize("number", ["9112025551234", "91", "+39911"])
def test_what_only_begins_like_an_emergency_is_none(engine: Engine, number: str) -> None:
    answer = engine.ask(a_question(number, user_id="frank"))

    assert answer.HasField("refusal")


def test_the_place_decides_what_an_emergency_is(engine: Engine) -> None:
    assert engine.ask(a_question("118", user_id="bruno")).grant.emergency
    assert not engine.ask(a_question("118", user_id="adele")).grant.emergency
    assert engine.ask(a_question("118", user_id="adele", location="IT")).grant.emergency
    assert engine.ask(a_question("9911", user_id="adele")).grant.dial_as == "911"


def test_emergency_numbers_are_told_for_keeping(engine: Engine) -> None:
    every = engine.stub.GetEmergencyNumbers(pb.GetEmergencyNumbersRequest())
    american = engine.stub.GetEmergencyNumbers(pb.GetEmergencyNumbersRequest(location="us"))

    names = [one.location for one in every.locations]
    assert len(names) > 100
    assert names == sorted(names)
    assert [one.location for one in american.locations] == ["US"]
    assert "911" in american.locations[0].numbers
    assert american.locations[0].dial_masks["9911"] == "911"


# --- Mistakes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("call_id", {"call_id": "a b"}),
        ("call_id", {"call_id": "x" * 256}),
        ("gateway_id", {"gateway_id": ""}),
        ("user_id", {"user_id": "caf\u00e9"}),
        ("tenant_id", {"tenant_id": "con:toso"}),
        ("called_number", {"called_number": "1" * 65}),
    ],
)
def test_a_wrong_field_is_named(engine: Engine, field: str, changes: dict[str, object]) -> None:
    """J3: empty, too long, or other than ASCII."""
    failed = failure_of(lambda: engine.ask(a_question(**changes)))  # type: ignore[arg-type] # A row.

    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert failed.metadata == {"field": field}


def test_a_text_that_is_no_text_is_a_wrong_field(engine: Engine) -> None:
    question = a_question(call_id="call-\x01").SerializeToString()

    failed = failure_of(lambda: engine.ask_raw(question.replace(b"call-\x01", b"call-\xff")))

    assert (failed.code, failed.metadata) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        {"field": "call_id"},
    )


@pytest.mark.parametrize("call_id", [':{}<>[]"\\/?@', "x@[2001:db8::1]", "{p1}:account:contoso"])
def test_any_call_id_of_rfc_3261_is_served(engine: Engine, call_id: str) -> None:
    """J3: and no byte of it stands in a key."""
    answer = engine.ask(a_question(call_id=call_id))

    assert answer.grant.granted_duration.seconds == 60
    assert not any(call_id.encode() in key for key in command(engine.store, "KEYS", "*"))


def test_calls_are_told_apart_however_their_ids_are_put_together(engine: Engine) -> None:
    first = engine.ask(a_question(gateway_id="a:b", call_id="c"))
    second = engine.ask(a_question(gateway_id="a", call_id="b:c"))

    assert first.decision_id != second.decision_id


def test_an_unknown_tenant_is_not_told_from_a_forbidden_one(engine: Engine) -> None:
    """J1: no hint whether it exists."""
    asked = failure_of(lambda: engine.ask(a_question(tenant_id="nobody")))
    read = failure_of(lambda: engine.balance("nobody"))
    called = failure_of(
        lambda: engine.ask(
            a_question(
                "+18005559999",
                tenant_id="",
                service_number_call=pb.ServiceNumberCall(),
            )
        )
    )

    assert asked == read == called
    assert asked.code is grpc.StatusCode.PERMISSION_DENIED


def test_an_unknown_user_of_a_known_tenant_is_refused(engine: Engine) -> None:
    answer = engine.ask(a_question(user_id="nobody"))

    assert answer.refusal.reason == pb.REASON_USER_UNKNOWN


def test_a_question_that_is_too_large_is_not_read(engine: Engine) -> None:
    failed = failure_of(lambda: engine.ask(a_question(calling_number="1" * 70_000)))

    assert failed.code is grpc.StatusCode.RESOURCE_EXHAUSTED


# --- Answers -----------------------------------------------------------------------------------


def test_a_service_number_leads_to_its_tenant(engine: Engine) -> None:
    answer = engine.ask(
        a_question(
            "1 800 555 0100",
            tenant_id="",
            calling_number="+14255550123",
            service_number_call=pb.ServiceNumberCall(),
        )
    )

    assert answer.payer == pb.Payer(kind=pb.PAYER_KIND_TENANT, tenant_id="contoso")
    assert answer.grant.purse.kind == pb.PURSE_KIND_CREDITS


def test_a_refusal_for_money_says_how_much_is_missing(engine: Engine) -> None:
    question = a_question("+14255550123", tenant_id="fabrikam", user_id="gina", explain=True)

    refusal = engine.ask(question).refusal

    assert refusal.reason == pb.REASON_CREDITS_EXHAUSTED
    assert refusal.shortfall.micros > 0
    assert refusal.shortfall.currency_code == "EUR"
    assert (refusal.sip_status, refusal.q850_cause) == (402, 21)
    assert "Top up" in refusal.remedy


def test_a_balance_counts_what_is_held(engine: Engine) -> None:
    before = engine.balance("contoso")
    held = engine.ask(a_question(CREDITS_CALL)).grant.segments[0].held.micros

    after = engine.balance("contoso")

    assert held > 0
    assert after.balance == before.balance
    assert after.available.micros == before.available.micros - held
    assert after.reserved.micros == before.reserved.micros + held


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_a_method_is_found_by_its_name(engine: Engine, version: str) -> None:
    method = "callgate.v1.AuthorizationService.AuthorizeCall"
    own = f"grpc.reflection.{version}.ServerReflection"
    with grpc.insecure_channel(engine.address) as channel:
        ask = channel.stream_stream(
            f"/{own}/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        names = (method, f"{method}s", f"{method}Nobody", own)
        requests = [
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=one) for one in names
        ]
        answers = list(ask(iter(requests), timeout=5))

    found = [answer.HasField("file_descriptor_response") for answer in answers]
    assert found == [True, True, False, True]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_what_can_be_called_is_listed(engine: Engine, version: str) -> None:
    with grpc.insecure_channel(engine.address) as channel:
        ask = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = ask(iter([request]), timeout=5)

    names = {service.name for service in answer.list_services_response.service}
    assert names >= {
        "callgate.v1.AuthorizationService",
        "callgate.v1.CreditService",
        "grpc.health.v1.Health",
    }


def test_health_is_told_for_the_engine_and_for_its_ledger(engine: Engine) -> None:
    assert engine.health() == engine.health("callgate.ledger") == "SERVING"


# --- Records and metrics -----------------------------------------------------------------------


def records(engine: Engine, call_id: str) -> list[dict[str, object]]:
    lines = (engine.folder / "records").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["call_id"] == call_id]


def test_every_decision_leaves_a_record_without_the_number(engine: Engine) -> None:
    question = a_question(CREDITS_CALL, calling_number="+14255550199")
    emergency = a_question("911", calling_number="+14255550199")
    answer = engine.ask(question)
    engine.ask(question)
    engine.ask(emergency)

    wait_until(lambda: records(engine, emergency.call_id))

    first, again = records(engine, question.call_id)
    assert first["decision_id"] == again["decision_id"] == answer.decision_id
    assert (first["repeated"], again["repeated"]) == (False, True)
    assert first["dialled_number"] == "+39061234****"
    written = (engine.folder / "records").read_text()
    assert CREDITS_CALL not in written
    assert "+14255550199" not in written


def test_what_is_answered_is_counted(tmp_path: Path) -> None:
    with running_engine(tmp_path, http_listen="127.0.0.1:0", transport="nghttp2") as engine:
        engine.ask(a_question())
        engine.ask(a_question("12ab"))
        engine.ask(a_question("911"))
        failure_of(lambda: engine.ask(a_question(call_id="a b")))
        port = engine.log.split("Metrics on 127.0.0.1:")[1].split("/")[0]
        with urlopen(f"http://127.0.0.1:{port}/metrics") as page:
            text = page.read().decode()

    assert 'callgate_decisions_total{outcome="grant",reason=""} 1.0' in text
    assert 'callgate_decisions_total{outcome="refusal",reason="NUMBER_INVALID"} 1.0' in text
    assert 'callgate_decisions_total{outcome="emergency",reason=""} 1.0' in text
    assert 'callgate_failures_total{reason="FIELD_INVALID"} 1.0' in text
    assert "callgate_ledger_up 1.0" in text
    assert "callgate_decision_seconds_count 2.0" in text
