"""Who may ask what: without an identity, with the wrong role, about another's tenant (J1)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from callgate.v1 import authorization_pb2 as pb
from engines import Engine, a_question
from identities import (
    TOKENS,
    IdPath,
    Outcome,
    ask,
    every_method,
    filled,
    paths,
    served_services,
    with_id,
)
from server.access.roles import RULES, Rule, rule_of

REFUSED = {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT}
ROLES = {
    "bridge": "bridge",
    "administrator": "tenant-administrator",
    "operator": "operator",
    "reader": "reader",
}


def rule(method: MethodDescriptor) -> Rule:
    return rule_of(method.containing_service.full_name, method.name)


@pytest.fixture(scope="module")
def guarded(channel: grpc.Channel) -> list[MethodDescriptor]:
    """Every method that this engine serves and that asks for an identity."""
    served = served_services(channel)
    methods = [one for one in every_method() if one.containing_service.full_name in served]
    return [one for one in methods if not rule(one).open_to_all]


def test_every_method_of_the_contract_has_a_row_in_the_table() -> None:
    methods = {(method.containing_service.full_name, method.name) for method in every_method()}

    rows = {(service, name) for service, rows in RULES.items() for name in rows}

    assert methods - rows == set()


def test_a_method_without_a_row_is_not_served() -> None:
    with pytest.raises(KeyError, match="Debts/Forgive has no row"):
        rule_of("callgate.v1.Debts", "Forgive")


@pytest.mark.parametrize("token", ["", TOKENS["nobody"]], ids=["none", "unknown"])
def test_nobody_is_told_anything_without_an_identity(
    channel: grpc.Channel, guarded: list[MethodDescriptor], token: str
) -> None:
    """J1."""
    refused = (grpc.StatusCode.UNAUTHENTICATED, "IDENTITY_UNKNOWN")
    for method in guarded:
        theirs = ask(channel, method, filled(method.input_type, tenant_id="contoso"), token)
        nobodys = ask(channel, method, filled(method.input_type, tenant_id="none-such"), token)

        assert (method.name, theirs.code, theirs.reason) == (method.name, *refused)
        assert nobodys == theirs


@pytest.mark.parametrize("who", ROLES)
def test_a_role_that_does_not_include_a_method_is_told_so_and_no_more(
    channel: grpc.Channel, guarded: list[MethodDescriptor], who: str
) -> None:
    """J1."""
    for method in guarded:
        if ROLES[who] in rule(method).roles:
            continue
        outcome = ask(channel, method, filled(method.input_type), TOKENS[who])

        assert (method.name, outcome.code) == (method.name, grpc.StatusCode.PERMISSION_DENIED)
        assert outcome.reason == "ROLE_MISSING"


def test_anothers_tenant_looks_like_one_that_does_not_exist(
    channel: grpc.Channel, guarded: list[MethodDescriptor]
) -> None:
    """J1: in every field of every method that names a tenant, with every role."""
    tried = 0
    for method in guarded:
        base = filled(method.input_type)
        for path in paths(base):
            if not path[-1][0].endswith(("tenant_id", "tenant_ids")):
                continue

            def about(
                tenant_id: str,
                method: MethodDescriptor = method,
                base: Message = base,
                path: IdPath = path,
            ) -> Outcome:
                return ask(channel, method, with_id(base, path, tenant_id), TOKENS["insider"])

            anothers, nobodys = about("fabrikam"), about("none-such")

            assert anothers == nobodys, (method.name, path)
            assert "fabrikam" not in str(anothers)
            assert anothers.code in REFUSED or _is_refused(anothers.answer), method.name
            tried += 1
    assert tried > len(guarded) / 2


def test_a_bridge_asks_about_the_tenants_that_are_its_own(engine: Engine) -> None:
    metadata = (("authorization", f"Bearer {TOKENS['bridge']}"),)

    answer = engine.stub.AuthorizeCall(a_question(), timeout=5, metadata=metadata)

    assert answer.HasField("grant")


def test_a_service_number_of_anothers_is_as_unknown_as_any(channel: grpc.Channel) -> None:
    """J1."""
    method = pb.DESCRIPTOR.services_by_name["AuthorizationService"].methods_by_name["AuthorizeCall"]

    def called(number: str) -> Outcome:
        request = a_question(
            number,
            tenant_id="",
            calling_number="+390612345678",
            service_number_call=pb.ServiceNumberCall(),
        )
        request.call_id = "the-same"
        return ask(channel, method, request, TOKENS["bridge"])

    anothers, nobodys, own = called("+39800555010"), called("+39800555099"), called("+18005550100")

    assert anothers == nobodys
    assert anothers.code is grpc.StatusCode.PERMISSION_DENIED
    assert own.code is grpc.StatusCode.OK


@pytest.mark.parametrize("token", ["", TOKENS["nobody"], TOKENS["reader"]])
def test_an_emergency_is_granted_whoever_asks(channel: grpc.Channel, token: str) -> None:
    """J1."""
    methods = pb.DESCRIPTOR.services_by_name["AuthorizationService"].methods_by_name
    question = a_question("911")
    legs = pb.AuthorizeCallsRequest(legs=[question, a_question()], mode=pb.LEG_MODE_AS_MANY_AS_FIT)
    first = pb.ControlCallsRequest(
        hello=pb.ControlHello(gateway_id="sbc-1", tenant_ids=["contoso"]),
        questions=[pb.ControlQuestion(item_id=7, authorize_call=question)],
    )

    alone = ask(channel, methods["AuthorizeCall"], question, token).answer
    among = ask(channel, methods["AuthorizeCalls"], legs, token).answer
    on_a_stream = ask(channel, methods["ControlCalls"], first, token).answer

    assert isinstance(alone, pb.AuthorizeCallResponse)
    assert alone.grant.emergency
    assert isinstance(among, pb.AuthorizeCallsResponse)
    assert among.answers[0].grant.emergency
    assert among.answers[1].WhichOneof("outcome") is None
    assert isinstance(on_a_stream, pb.ControlCallsResponse)
    assert on_a_stream.items[0].item_id == 7
    assert on_a_stream.items[0].authorize_call.grant.emergency


def test_emergency_numbers_do_not_tell_where_a_tenant_is_at_home(channel: grpc.Channel) -> None:
    """J1: a number of one country is granted to who may not know the tenant, home there or not."""
    method = pb.DESCRIPTOR.services_by_name["AuthorizationService"].methods_by_name["AuthorizeCall"]

    def dialled(tenant_id: str, token: str) -> grpc.StatusCode:
        question = a_question("118", tenant_id=tenant_id)
        return ask(channel, method, question, token).code

    for token in ("", TOKENS["other-bridge"]):
        assert dialled("contoso", token) is dialled("no-such-tenant", token)


def test_a_newer_stream_of_another_identity_replaces_nobody(engine: Engine) -> None:
    def hello(tenant_id: str) -> pb.ControlCallsRequest:
        told = pb.ControlHello(gateway_id="sbc-1", tenant_ids=[tenant_id])
        question = a_question("+390612345678", tenant_id=tenant_id, user_id="nobody")
        asked = pb.ControlQuestion(item_id=1, authorize_call=question)
        return pb.ControlCallsRequest(hello=told, questions=[asked])

    def opened(who: str, tenant_id: str) -> Any:
        metadata = (("authorization", f"Bearer {TOKENS[who]}"),)
        stream = engine.stub.ControlCalls(_open_end(hello(tenant_id)), metadata=metadata)
        next(stream)
        return stream

    theirs = opened("bridge", "contoso")
    mine = opened("other-bridge", "fabrikam")
    again = opened("other-bridge", "fabrikam")

    with pytest.raises(grpc.RpcError) as replaced:
        list(mine)
    assert replaced.value.code() is grpc.StatusCode.ABORTED
    assert theirs.is_active()
    for stream in (theirs, again):
        stream.cancel()


def _is_refused(answer: Message | None) -> bool:
    """Tell whether what came on a stream is a question's failure."""
    if not isinstance(answer, pb.ControlCallsResponse):
        return False
    return answer.items[0].error.code == grpc.StatusCode.PERMISSION_DENIED.value[0]


def _open_end(first: pb.ControlCallsRequest) -> Iterator[pb.ControlCallsRequest]:
    """Send one message and never end; grpc's reading thread waits for more and is a daemon."""
    yield first
    threading.Event().wait()


@pytest.mark.parametrize(
    "shown",
    ["Basic eDp5", "Bearer", f"Bearer {TOKENS['bridge']} x", f"{TOKENS['bridge']}"],
)
def test_what_is_no_bearer_token_is_no_identity(engine: Engine, shown: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        engine.stub.AuthorizeCall(a_question(), metadata=(("authorization", shown),), timeout=5)

    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_health_asks_nobody(engine: Engine) -> None:
    assert engine.health() == "SERVING"
