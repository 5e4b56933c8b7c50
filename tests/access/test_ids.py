"""Ids in every field of every method: what cannot be one is told by the name of its field (J3)."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from callgate.v1 import authorization_pb2 as pb
from engines import Engine, running_engine
from identities import ask, every_method, filled, paths, served_services, with_id

WRONG = {
    "empty": "",
    "too long": "x" * 300,
    "not ASCII": "zoë",
    "a control character": "a\x01b",
    "a line": "a\nb",
    "a null": "a\0b",
}
# What an empty one of these means is written in the contract.
MAY_BE_EMPTY = {
    ("ListAuditEntries", "tenant_id"),
    ("WatchDebits", "call_id"),
    ("ControlCalls", "gateway_id"),
    ("AuthorizeCall", "conference_id"),
    ("GetStatement", "call_id"),
    ("ListAttempts", "account_id"),
    *((name, "call_id") for name in ("ListUsage", "SummarizeUsage", "ExportUsage")),
    ("CreateUsageReport", "call_id"),
    *(("FindDecisions", name) for name in ("account_id", "call_id", "gateway_id", "decision_id")),
}
KINDS = [field.name for field in pb.AuthorizeCallRequest.DESCRIPTOR.oneofs_by_name["kind"].fields]


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    engine: Engine
    with (
        running_engine(tmp_path_factory.mktemp("engine"), run_keeper=False) as engine,
        grpc.insecure_channel(engine.address) as opened,
    ):
        yield opened


def complaint(channel: grpc.Channel, method: MethodDescriptor, request: Message) -> str:
    """Ask, and return what was told of a wrong field: on a stream, of one of its questions."""
    outcome = ask(channel, method, request)
    if isinstance(outcome.answer, pb.ControlCallsResponse):
        error = outcome.answer.items[0].error
        return error.message if error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0] else ""
    return outcome.text if outcome.code is grpc.StatusCode.INVALID_ARGUMENT else ""


def test_what_cannot_be_an_id_is_told_by_its_field(channel: grpc.Channel) -> None:
    """J3."""
    served = served_services(channel)
    tried = 0
    for method in every_method():
        if method.containing_service.full_name not in served:
            continue
        base = filled(method.input_type, to_tenant_id="northwind")
        if ask(channel, method, base).code is grpc.StatusCode.UNIMPLEMENTED:
            continue
        for path in paths(base):
            field = path[-1][0]
            for what, value in WRONG.items():
                if not value and (method.name, field) in MAY_BE_EMPTY:
                    continue
                told = complaint(channel, method, with_id(base, path, value))
                names = [name for name, _ in path]
                assert field in told.split(":")[0], (method.name, names, what, told)
                tried += 1
    assert tried > 100


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_an_id_is_told_in_every_kind_of_call(
    channel: grpc.Channel, kind: str
) -> None:
    """J3."""
    service = pb.DESCRIPTOR.services_by_name["AuthorizationService"]
    method = service.methods_by_name["AuthorizeCall"]
    base = filled(method.input_type, kind=kind, called_number="+18005550100")
    for path in paths(base):
        for what, value in WRONG.items():
            field = path[-1][0]
            if not value and (method.name, field) in MAY_BE_EMPTY:
                continue
            if not value and kind == "service_number_call":
                continue
            told = complaint(channel, method, with_id(base, path, value))
            assert field in told.split(":")[0], (path, what, told)
