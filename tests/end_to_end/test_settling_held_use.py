"""An operator of a real engine settles what a gateway cannot have counted."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from callgate.v1 import credits_pb2 as pb
from callgate.v1.authorization_pb2 import SettleCallRequest
from callgate.v1.credits_pb2_grpc import CreditServiceStub
from engines import Engine, a_question, failure_of, running_engine, wait_until
from terminal import Terminal
from watching import CREDITS_CALL

TENANT = "contoso"
CHARGE = pb.IMPLAUSIBLE_USE_SETTLEMENT_CHARGE
WAIVE = pb.IMPLAUSIBLE_USE_SETTLEMENT_WAIVE


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    with running_engine(folder, report_tolerance_seconds=0) as engine:
        yield engine


@pytest.fixture(scope="module")
def teller(engine: Engine) -> Iterator[CreditServiceStub]:
    with grpc.insecure_channel(engine.address) as channel:
        yield CreditServiceStub(channel)


def listed(teller: CreditServiceStub) -> list[pb.ImplausibleUse]:
    found: list[pb.ImplausibleUse] = []
    token = ""
    while True:
        page = teller.ListImplausibleUse(
            pb.ListImplausibleUseRequest(tenant_id=TENANT, page_size=1, page_token=token)
        )
        found += page.uses
        token = page.next_page_token
        if not token:
            return found


def a_call_that_claims_an_hour(engine: Engine, teller: CreditServiceStub) -> pb.ImplausibleUse:
    question = a_question(CREDITS_CALL)
    engine.ask(question)
    engine.stub.SettleCall(
        SettleCallRequest(
            tenant_id=TENANT,
            gateway_id=question.gateway_id,
            call_id=question.call_id,
            sequence=2,
            used_duration=Duration(seconds=3_600),
        )
    )
    wait_until(lambda: question.call_id in {use.call_id for use in listed(teller)}, seconds=10)
    (held,) = [use for use in listed(teller) if use.call_id == question.call_id]
    return held


def resolve(
    teller: CreditServiceStub, held: pb.ImplausibleUse, how: pb.ImplausibleUseSettlement.ValueType
) -> int:
    request = pb.ResolveImplausibleUseRequest(
        tenant_id=TENANT, decision_id=held.decision_id, settlement=how, note="ticket 7"
    )
    return teller.ResolveImplausibleUse(request).charged.micros


def balance(teller: CreditServiceStub) -> int:
    return teller.GetBalance(pb.GetBalanceRequest(tenant_id=TENANT)).balance.micros


def test_an_operator_lists_and_resolves_what_is_held_apart(
    engine: Engine, teller: CreditServiceStub
) -> None:
    charged = a_call_that_claims_an_hour(engine, teller)
    waived = a_call_that_claims_an_hour(engine, teller)
    before = balance(teller)

    assert {use.decision_id for use in listed(teller)} == {charged.decision_id, waived.decision_id}
    assert charged.duration.seconds > 3_000
    assert charged.amount.micros > 0
    assert [resolve(teller, charged, CHARGE) for _ in range(2)] == [charged.amount.micros] * 2
    assert [resolve(teller, waived, WAIVE) for _ in range(2)] == [0, 0]
    assert balance(teller) == before - charged.amount.micros
    assert listed(teller) == []
    assert failure_of(lambda: resolve(teller, waived, CHARGE)).reason == "IMPLAUSIBLE_SETTLED"


@pytest.mark.parametrize(
    ("decision_id", "how", "code"),
    [
        ("nothing", CHARGE, grpc.StatusCode.NOT_FOUND),
        ("", CHARGE, grpc.StatusCode.INVALID_ARGUMENT),
        ("nothing", 0, grpc.StatusCode.INVALID_ARGUMENT),
        ("nothing", 7, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_what_cannot_be_resolved_says_why(
    teller: CreditServiceStub, decision_id: str, how: int, code: grpc.StatusCode
) -> None:
    held = pb.ImplausibleUse(decision_id=decision_id)

    failed = failure_of(lambda: resolve(teller, held, how))  # type: ignore[arg-type] # Any number.

    assert failed.code is code


def test_it_is_listed_and_waived_at_a_terminal(engine: Engine, teller: CreditServiceStub) -> None:
    held = a_call_that_claims_an_hour(engine, teller)
    terminal = Terminal(engine.address)
    words = ("implausible", "--tenant", TENANT)

    shown = terminal.type(*words)
    as_json = terminal.type(*words, "--json")
    done = terminal.type(*words, "--waive", held.decision_id, "--yes")
    after = terminal.type(*words)

    assert held.decision_id in shown.stdout
    assert json.loads(as_json.stdout)["uses"][0]["callId"] == held.call_id
    assert done.stdout == f"{held.decision_id} is settled: 0.00 USD charged\n"
    assert after.stdout == "Nothing is held apart.\n"
