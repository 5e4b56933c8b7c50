"""Real engines under `callgate.testing`: clock, faults by name, recording, replay."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from callgate.testing import Engine, EngineFailed, Fault, Nursery, replay
from callgate.v1 import authorization_pb2 as pb
from callgate.v1 import harness_pb2, harness_pb2_grpc
from callgate.v1.authorization_pb2_grpc import AuthorizationServiceStub
from engines import failure_of, running_engine, wait_until

ROME, HOME = "+390612345678", "+14255550123"


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        nursery.warm_up()
        yield nursery


@pytest.fixture
def engine(nursery: Nursery) -> Iterator[Engine]:
    with nursery.engine() as engine:
        yield engine


@pytest.fixture
def stub(engine: Engine) -> Iterator[Any]:
    with grpc.insecure_channel(engine.address) as channel:
        yield AuthorizationServiceStub(channel)


def question(call_id: str, number: str = ROME, **changes: Any) -> pb.AuthorizeCallRequest:
    asked = pb.AuthorizeCallRequest(
        tenant_id="contoso",
        gateway_id="harness",
        call_id=call_id,
        sequence=1,
        called_number=number,
        user_call=pb.UserCall(user_id="adele"),
        **changes,
    )
    asked.requested_duration.seconds = 60
    return asked


def settlement(call_id: str, used: int, sequence: int = 2) -> pb.SettleCallRequest:
    report = pb.SettleCallRequest(
        tenant_id="contoso", gateway_id="harness", call_id=call_id, sequence=sequence
    )
    report.used_duration.seconds = used
    return report


def test_a_month_passes_when_the_test_says_so(engine: Engine, stub: Any) -> None:
    first = stub.AuthorizeCall(question("one", HOME))
    began = first.decide_time.ToDatetime()

    engine.advance(days=31)
    later = stub.AuthorizeCall(question("two", HOME))

    assert 31 <= (later.decide_time.ToDatetime() - began).total_seconds() / 86_400 < 32
    assert later.grant.purse.period != first.grant.purse.period
    assert later.grant.remaining.pool_duration == first.grant.remaining.pool_duration


def test_what_falls_due_is_done_when_the_clock_was_moved(engine: Engine, stub: Any) -> None:
    stub.AuthorizeCall(question("one"))
    engine.expect_balance("contoso", available="49.90", reserved="0.10")

    engine.advance(minutes=15)
    engine.expect_balance("contoso", available="50.00", reserved=0)
    engine.advance(days=366)

    engine.expect_balance("contoso", available=0)


def test_a_call_lapses_in_the_very_millisecond_in_which_it_is_due(
    engine: Engine, stub: Any
) -> None:
    """Twice the validity of the first minute: its own 60 s and 180 s of ringing."""
    for number in range(20):
        stub.AuthorizeCall(question(f"call-{number}"))
        engine.expect_balance("contoso", reserved="0.10")

        engine.advance(seconds=2 * (60 + 180))

        engine.expect_balance("contoso", available="50.00", reserved=0)


def test_a_reply_is_lost_so_often_and_the_money_is_held_once(engine: Engine, stub: Any) -> None:
    with engine.fault(Fault.REPLY_LOST, times=1):
        failed = failure_of(lambda: stub.AuthorizeCall(question("one")))
        again = stub.AuthorizeCall(question("one"))

    assert failed.code is grpc.StatusCode.UNAVAILABLE
    assert again.HasField("grant")
    engine.expect_balance("contoso", reserved="0.10")


def test_a_slow_store_is_no_answer_in_time(engine: Engine, stub: Any) -> None:
    with engine.fault(Fault.REDIS_SLOW, delay_seconds=2):
        failed = failure_of(lambda: stub.AuthorizeCall(question("one")))

    assert failed.code is grpc.StatusCode.UNAVAILABLE
    wait_until(lambda: answers(stub))


def test_a_store_that_takes_no_writes_grants_nothing(engine: Engine, stub: Any) -> None:
    with engine.fault("redis_read_only"):
        failed = failure_of(lambda: stub.AuthorizeCall(question("one"), timeout=5))

    assert failed.code is grpc.StatusCode.UNAVAILABLE
    wait_until(lambda: answers(stub))
    engine.expect_debit("contoso", "one", 0)


def test_an_engine_that_hangs_answers_nobody_until_it_is_back(engine: Engine, stub: Any) -> None:
    engine.set_fault(Fault.ENGINE_HUNG, delay_seconds=1)
    time.sleep(0.1)

    failed = failure_of(lambda: stub.AuthorizeCall(question("one"), timeout=0.2))

    assert failed.code is grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(lambda: answers(stub))


def test_a_frozen_process_answers_nobody(engine: Engine, stub: Any) -> None:
    with engine.frozen():
        failed = failure_of(lambda: stub.AuthorizeCall(question("one"), timeout=0.2))

    assert failed.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert stub.AuthorizeCall(question("two")).HasField("grant")


def test_streams_are_cut_and_can_be_opened_again(engine: Engine, stub: Any) -> None:
    hello = pb.ControlCallsRequest(hello=pb.ControlHello(gateway_id="harness"))
    asked = pb.ControlCallsRequest(
        questions=[pb.ControlQuestion(item_id=1, authorize_call=question("one"))]
    )
    stream = stub.ControlCalls(endless(hello, asked))
    assert next(stream).items[0].HasField("authorize_call")

    engine.set_fault(Fault.STREAM_DROPPED)

    with pytest.raises(grpc.RpcError) as cut:
        list(stream)
    code: Any = cut.value
    assert code.code() is grpc.StatusCode.UNAVAILABLE
    assert next(stub.ControlCalls(endless(hello, asked))).items[0].HasField("authorize_call")


def test_what_was_asked_is_written_down_also_over_a_stream(engine: Engine, stub: Any) -> None:
    hello = pb.ControlHello(gateway_id="harness")
    over_stream = pb.ControlQuestion(item_id=1, authorize_call=question("streamed"))
    stream = stub.ControlCalls(
        endless(pb.ControlCallsRequest(hello=hello, questions=[over_stream]))
    )
    next(stream)
    stream.cancel()
    stub.AuthorizeCall(question("one", "+19005551234"))
    failure_of(lambda: stub.SettleCall(settlement("unknown", 1)))

    engine.expect_granted("streamed", 60)
    engine.expect_refused("one", "DESTINATION_BLOCKED")
    [settled] = engine.asked("unknown")
    assert settled.error == "CALL_UNKNOWN"


def test_emergency_numbers_are_listed_and_written_down(engine: Engine, stub: Any) -> None:
    listed = stub.GetEmergencyNumbers(pb.GetEmergencyNumbersRequest(location="US"))

    [one] = [each for each in engine.asked() if each.method == "GetEmergencyNumbers"]
    assert listed.locations[0].dial_masks["sos"] == "911"
    assert one.answer["locations"][0]["location"] == "US"


def test_a_recording_asked_of_another_engine_shows_what_became_different(
    nursery: Nursery, engine: Engine, stub: Any, tmp_path: Path
) -> None:
    stub.AuthorizeCall(question("one"))
    engine.advance(seconds=75)
    stub.SettleCall(settlement("one", 75))
    recorded = engine.asked()
    dearer = tmp_path / "dearer.toml"
    dearer.write_text(
        """
[tenants.contoso]
country = "US"
currency = "USD"
funding_model = "prepaid"
opening_balance = "50.00"
[tenants.contoso.users.adele]
usage_location = "US"
licences = ["MCOEV", "MCOPSTN1", "MCOPSTNPP"]
[rates.USD]
3906 = "0.12"
"""
    )

    with nursery.engine() as same:
        assert replay(recorded, same) == []
    with nursery.engine(dearer) as other:
        differences = replay(recorded, other)

    assert len(differences) == 2
    assert differences[0].startswith("question 1, AuthorizeCall of one: was ")
    assert "120000" in differences[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tenants", "is not TOML"),
        ("[rates.USD]\n39 = '0.10'\n", "tenants: is missing"),
        ("[tenants.a]\ncountry = 'US'\n[rates.USD]\n39 = { per_minute = 'ten' }\n", "per_minute"),
        ("[tenants.a]\ncountry = 'Italy'\n", "country"),
    ],
)
def test_a_scenario_with_a_mistake_is_no_engine_and_the_mistake_is_told(
    nursery: Nursery, tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)

    with pytest.raises(EngineFailed, match=told), nursery.engine(path):
        pass


def test_a_harness_that_others_could_reach_does_not_start(nursery: Nursery) -> None:
    settings = {"listen": "0.0.0.0:0", "insecure_listen": "true"}
    with pytest.raises(EngineFailed, match="loopback"), nursery.engine(settings=settings):
        pass


def test_an_engine_that_is_none_of_a_harness_has_no_such_service(tmp_path: Path) -> None:
    with running_engine(tmp_path) as engine, grpc.insecure_channel(engine.address) as channel:
        stub = harness_pb2_grpc.HarnessServiceStub(channel)
        advance = harness_pb2.AdvanceClockRequest()
        failed = failure_of(lambda: stub.AdvanceClock(advance))

    assert failed.code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"fault": 0}, "fault"),
        ({"fault": harness_pb2.FAULT_REDIS_SLOW}, "delay"),
        ({"fault": harness_pb2.FAULT_STREAM_DROPPED, "times": 1}, "times"),
        ({"fault": harness_pb2.FAULT_REPLY_LOST, "times": -1}, "times"),
    ],
)
def test_a_fault_that_cannot_be_is_told_by_its_field(
    engine: Engine, changes: Any, field: str
) -> None:
    with grpc.insecure_channel(engine.address) as channel:
        stub = harness_pb2_grpc.HarnessServiceStub(channel)
        failed = failure_of(lambda: stub.SetFault(harness_pb2.SetFaultRequest(**changes)))

    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failed.metadata == {"field": field}


def test_a_clock_never_runs_back(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError):
        engine.advance(seconds=-1)


def test_engines_end_with_the_process_that_wanted_them() -> None:
    with Nursery() as nursery, nursery.engine() as engine:
        child, pid = nursery.pid, engine.pid
        os.kill(child, signal.SIGKILL)

        wait_until(lambda: not Path(f"/proc/{pid}").exists())


def endless(*messages: pb.ControlCallsRequest) -> Iterator[pb.ControlCallsRequest]:
    """Write messages, and leave the stream open until it is cancelled."""
    yield from messages
    while True:
        time.sleep(60)


def answers(stub: Any) -> bool:
    try:
        return bool(stub.AuthorizeCall(question("again"), timeout=1).HasField("grant"))
    except grpc.RpcError:
        return False
