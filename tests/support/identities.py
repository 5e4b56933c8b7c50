"""Identities for tests: a file of them, and everything that can be asked in their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, cast

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from callgate import v1
from server.access.identities import digest_of
from server.access.roles import Role

DEADLINE_SECONDS = 5.0
# Tokens of tests are no secrets; each is as long as a real one.
TOKENS = {
    name: f"cg_{name}".ljust(46, "x")
    for name in (
        "bridge",
        "administrator",
        "operator",
        "reader",
        "other-bridge",
        "nobody",
        "last",
        "insider",
    )
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one question ended: everything of it that its caller can see."""

    code: grpc.StatusCode
    text: str = ""
    reason: str = ""
    details: bytes = b""
    answer: Message | None = None


def identity(name: str, *roles: str, tenants: str, **more: Any) -> str:
    """Write an identity with its token, as the file of identities has it."""
    lines = [
        f"[identities.{name}]",
        f"roles = [{', '.join(repr(role) for role in roles)}]",
        f"tenants = {tenants}",
        *(f"{key} = {value}" for key, value in more.items()),
    ]
    if name in TOKENS:
        lines += [f"[[identities.{name}.tokens]]", f'sha256 = "{digest_of(TOKENS[name])}"']
    return "\n".join(lines) + "\n"


def an_identities_file(folder: Path) -> Path:
    """Write identities of contoso, one of each role and one of all, and a bridge of fabrikam's."""
    contoso, fabrikam = '["contoso"]', '["fabrikam"]'
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "identities.toml"
    path.write_text(
        identity("bridge", "bridge", tenants=contoso)
        + identity("administrator", "tenant-administrator", tenants=contoso)
        + identity("reader", "reader", tenants=contoso)
        + identity("operator", "operator", tenants='"all"')
        + identity("insider", *(str(role) for role in Role), tenants=contoso)
        + identity("other-bridge", "bridge", tenants=fabrikam),
        encoding="utf-8",
    )
    return path


def every_method() -> Iterator[MethodDescriptor]:
    """List every RPC of the contract."""
    for _, module, _ in iter_modules(v1.__path__):
        if not module.endswith("_pb2"):
            continue
        for service in import_module(f"callgate.v1.{module}").DESCRIPTOR.services_by_name.values():
            yield from service.methods


def served_services(channel: grpc.Channel) -> set[str]:
    """Ask an engine by reflection which services it serves."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answer = next(stub.ServerReflectionInfo(iter([request]), timeout=DEADLINE_SECONDS))
    return {service.name for service in answer.list_services_response.service}


def ask(
    channel: grpc.Channel, method: MethodDescriptor, request: Message, token: str = ""
) -> Outcome:
    """Ask one question on any method; of a stream, what comes first."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    path = f"/{method.containing_service.full_name}/{method.name}"
    answer_class = GetMessageClass(method.output_type)
    make: Callable[..., Any] = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, True): channel.stream_stream,
    }[method.client_streaming, method.server_streaming]
    call = make(path, type(request).SerializeToString, answer_class.FromString)
    asked = iter([request]) if method.client_streaming else request
    try:
        answered = call(asked, timeout=DEADLINE_SECONDS, metadata=metadata)
        if method.server_streaming:
            first = next(answered, None)
            answered.cancel()
            return Outcome(grpc.StatusCode.OK, answer=first)
        return Outcome(grpc.StatusCode.OK, answer=answered)
    except grpc.RpcError as error:
        return _failed(cast("grpc.Call", error))


def _failed(error: grpc.Call) -> Outcome:
    status = rpc_status.from_call(error)
    if status is None:
        return Outcome(error.code(), error.details() or "")
    reason = status.details[0].value.split(b"\x12")[0][2:].decode() if status.details else ""
    return Outcome(error.code(), error.details() or "", reason, status.SerializeToString())


def filled(descriptor: Descriptor, **values: Any) -> Message:
    """Fill a request of any kind: fields by their names, at any depth, others plausibly.

    Of a `oneof` its first field is taken, or the one that is given under its name.
    """
    message = GetMessageClass(descriptor)()
    _fill(message, {**_PLAUSIBLE, **values}, depth=0)
    return message


_PLAUSIBLE: dict[str, Any] = {
    "tenant_id": "contoso",
    "to_tenant_id": "contoso",
    "tenant_ids": ["contoso"],
    "gateway_id": "sbc-1",
    "call_id": "somebody's@example",
    "sequence": 1,
    "called_number": "+14255550123",
    "user_id": "adele",
    "identity_id": "somebody",
    "item_id": 1,
    "currency_code": "USD",
    "micros": 20_000_000,
    "note": "a test",
    "location": "",
    "calling_number": "",
}
_MAX_DEPTH = 4


def _fill(message: Any, values: dict[str, Any], *, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            _fill_plain(message, field, values.get(field.name, _guess(field)))
        elif depth < _MAX_DEPTH:
            _fill_message(message, field, values, depth=depth)


def _fill_plain(message: Any, field: FieldDescriptor, value: Any) -> None:
    if value is None:
        return
    if field.is_repeated:
        getattr(message, field.name).extend(value if isinstance(value, list) else [value])
    else:
        setattr(message, field.name, value)


def _guess(field: FieldDescriptor) -> Any:
    choice = field.containing_oneof
    if choice is not None and choice.fields[0].name != field.name:
        return None
    if field.type == FieldDescriptor.TYPE_ENUM:
        return 1  # The first choice that says something.
    if field.type == FieldDescriptor.TYPE_STRING and field.name.endswith("_id"):
        return None if field.is_repeated else "some-id"
    return None


def _fill_message(
    message: Any, field: FieldDescriptor, values: dict[str, Any], *, depth: int
) -> None:
    choice = field.containing_oneof
    if choice is not None:
        names = [one.name for one in choice.fields]
        if field.name != values.get(choice.name, names[0]):
            return
    kind = field.message_type
    assert kind is not None, "a field of a message has its type"
    if not kind.full_name.startswith("callgate.v1.") or kind.GetOptions().map_entry:
        return
    if field.is_repeated:
        _fill(getattr(message, field.name).add(), values, depth=depth + 1)
    elif field.name not in {"unknown_call", "running_call"}:
        sub = getattr(message, field.name)
        sub.SetInParent()
        _fill(sub, values, depth=depth + 1)


# The names on the way to a field, and which of them stand for lists.
IdPath = tuple[tuple[str, bool], ...]


def paths(message: Any) -> Iterator[IdPath]:
    """List every id that a message holds, at any depth."""
    for field, value in message.ListFields():
        here = (field.name, field.is_repeated)
        if field.type == FieldDescriptor.TYPE_STRING and field.name.endswith(("_id", "_ids")):
            yield (here,)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not _is_map(field):
            first = value[0] if field.is_repeated else value
            yield from ((here, *below) for below in paths(first))


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def with_id(message: Message, path: IdPath, value: str) -> Message:
    """Copy a message with another id in one place."""
    changed = type(message)()
    changed.CopyFrom(message)
    at: Any = changed
    *above, (name, is_list) = path
    for step, step_is_list in above:
        at = getattr(at, step)[0] if step_is_list else getattr(at, step)
    if is_list:
        getattr(at, name)[:] = [value]
    else:
        setattr(at, name, value)
    return changed
