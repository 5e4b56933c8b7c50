"""What was recorded, asked again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict

from callgate.errors import CallgateError, error_of
from callgate.testing.recording import _MS, Recorded, read_recording
from callgate.v1 import authorization_pb2 as pb
from callgate.v1.authorization_pb2_grpc import AuthorizationServiceStub

if TYPE_CHECKING:
    from callgate.testing.engine import Engine

_ASK_SECONDS = 10.0
_QUESTIONS = {
    "AuthorizeCall": pb.AuthorizeCallRequest,
    "AuthorizeCalls": pb.AuthorizeCallsRequest,
    "ExtendCall": pb.ExtendCallRequest,
    "SettleCall": pb.SettleCallRequest,
    "ReleaseCall": pb.ReleaseCallRequest,
}
# What is another one each time: ids and instants.
_OWN = frozenset(
    {
        "decision_id",
        "decide_time",
        "settle_time",
        "release_time",
        "report_by_time",
        "expire_time",
        "directory_version",
        "catalogue_version",
    }
)


def replay(recorded: Sequence[Recorded] | Path, engine: Engine) -> list[str]:
    """Ask an engine all of it again, with the clock moved as it moved; return what differs.

    Ids of decisions, versions of facts and instants are not compared. Questions that came over a
    stream are asked one by one.
    """
    questions = read_recording(recorded) if isinstance(recorded, Path) else recorded
    differences, before_ms = [], questions[0].at_ms if questions else 0
    with grpc.insecure_channel(engine.address) as channel:
        stub = AuthorizationServiceStub(channel)
        for number, one in enumerate(questions, start=1):
            if one.method not in _QUESTIONS:
                continue
            # Less than a second moves no money.
            seconds = (one.at_ms - before_ms) // _MS
            if seconds > 0:
                engine.advance(seconds=seconds)
                before_ms += seconds * _MS
            told = _ask(getattr(stub, one.method), one)
            if told != _comparable(one):
                call = one.question.get("call_id", "")
                differences.append(
                    f"question {number}, {one.method} of {call}: was {_comparable(one)}, is {told}"
                )
    return differences


def _ask(method: Callable[..., Any], one: Recorded) -> dict[str, Any]:
    question = ParseDict(one.question, _QUESTIONS[one.method]())
    try:
        answer = method(question, timeout=_ASK_SECONDS)
    except grpc.RpcError as error:
        failure: CallgateError = error_of(error)
        return {"error": failure.reason or failure.code}
    told: dict[str, Any] = _without_own(MessageToDict(answer, preserving_proto_field_name=True))
    return told


def _comparable(one: Recorded) -> dict[str, Any]:
    return {"error": one.error} if one.error else _without_own(one.answer)


def _without_own(fields: Any) -> Any:
    if isinstance(fields, dict):
        return {name: _without_own(value) for name, value in fields.items() if name not in _OWN}
    if isinstance(fields, list):
        return [_without_own(value) for value in fields]
    return fields
