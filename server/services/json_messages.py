"""Messages of the contract as JSON, by protobuf's mapping, for every method there is."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import grpc
from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from typing_extensions import override

from server.calls.messages.fields import InvalidRequest
from server.services.errors import DETAILS_KEY, status_of
from server.transport.connect import JsonRefused, Messages

# At which every reader of protobuf's bytes stops: a tag that does not end.
_BREAK = b"\xff"
_UNKNOWN = re.compile(r'has no field named "([^"]*)"(?: at "([^"]*)")?')
_WRONG = re.compile(r"Failed to parse (\w+) field: ")
_MOST_NAME = 128
# The texts of JSON that breaks off somewhere, by their names.
_TEXTS = re.compile(r'"(\w{1,64})"\s*:\s*("(?:[^"\\]|\\.){0,1100}")')
_MOST_TEXTS = 64
# Of errors: their kinds are to be in the pool that details are unpacked by.
_DETAIL_KINDS = (error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo)


class _Kinds(NamedTuple):
    request: type[Message]
    response: type[Message]
    only_reads: bool


class JsonMessages(Messages):
    """Finds a method's messages by its path."""

    @override
    def from_json(self, path: str, text: bytes, *, ignore_unknown: bool) -> bytes:
        kind = _kinds(path).request
        try:
            told = _loaded(text)
        except InvalidRequest as error:
            raise _refused(error, _salvaged(kind.DESCRIPTOR, _texts_of(text))) from None
        try:
            message = json_format.ParseDict(told, kind(), ignore_unknown_fields=ignore_unknown)
            return message.SerializeToString()
        except Exception as error:  # noqa: BLE001 -- Whatever it raises, the JSON is at fault.
            mistake = _mistake_of(error)
            raise _refused(mistake, _salvaged(kind.DESCRIPTOR, told)) from None

    @override
    def to_json(self, path: str, message: bytes) -> bytes:
        return _json(_kinds(path).response.FromString(message)).encode()

    @override
    def details(self, status: bytes) -> list[dict[str, Any]]:
        return [_detail(packed) for packed in Status.FromString(status).details]

    @override
    def only_reads(self, path: str) -> bool:
        return _kinds(path).only_reads

    @override
    def resumed(self, path: str, message: bytes, cursor: str) -> bytes:
        request = _kinds(path).request.FromString(message)
        if "cursor" in request.DESCRIPTOR.fields_by_name:
            request.cursor = cursor  # type: ignore[attr-defined] # As it was looked.
        return request.SerializeToString()

    @override
    def place(self, path: str, message: bytes) -> tuple[str, bool]:
        said = _kinds(path).response.FromString(message)
        fields = {field.name for field, _ in said.ListFields()}
        lists = {field.name for field in said.DESCRIPTOR.fields if field.is_repeated}
        return getattr(said, "cursor", ""), bool(lists) and not fields & lists


@cache
def _kinds(path: str) -> _Kinds:
    service, _, name = path.strip("/").rpartition("/")
    pool = descriptor_pool.Default()
    method: MethodDescriptor = pool.FindServiceByName(service).methods_by_name[name]
    level = method.GetOptions().idempotency_level
    return _Kinds(
        GetMessageClass(method.input_type),
        GetMessageClass(method.output_type),
        level == MethodOptions.NO_SIDE_EFFECTS,
    )


def _json(message: Message) -> str:
    return json.dumps(json_format.MessageToDict(message), ensure_ascii=False)


def _detail(packed: Any) -> dict[str, Any]:
    """Write one detail; `debug` is for people."""
    name = packed.type_url.rpartition("/")[2]
    value = base64.b64encode(packed.value).decode().rstrip("=")
    told: dict[str, Any] = {"type": name, "value": value}
    for kind in _DETAIL_KINDS:
        if name == kind.DESCRIPTOR.full_name:
            told["debug"] = json_format.MessageToDict(kind.FromString(packed.value))
    return told


# --- What is wrong with JSON ---------------------------------------------------------------------


def _loaded(text: bytes) -> dict[str, Any]:
    """Read a JSON object. Raises `InvalidRequest`."""
    try:
        told = json.loads(text.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except InvalidRequest:
        raise
    except UnicodeDecodeError as error:
        raise InvalidRequest("body", f"JSON in UTF-8; byte {error.start} is none") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest("body", f"JSON; {error.msg} at {where}") from None
    except (RecursionError, ValueError):
        raise InvalidRequest("body", "JSON without so deep nesting and so long numbers") from None
    if not isinstance(told, dict):
        raise InvalidRequest("body", "a JSON object, in braces")
    return told


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = dict(pairs)
    if len(told) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest(_shown(twice), "given once; it stands here twice")
    return told


def _no_number(name: str) -> Any:
    raise InvalidRequest("body", f"JSON; {name} is no number in it")


def _mistake_of(error: Exception) -> InvalidRequest:
    text = str(error)
    within = [_shown(name) for name in _WRONG.findall(text)]
    unknown = _UNKNOWN.search(text)
    if unknown is not None:
        above = (unknown[2] or "").split(".")[1:]
        name = ".".join([*(above or within), _shown(unknown[1])])
        return InvalidRequest(name, "a field of the message; there is none of this name")
    if within:
        why = _WRONG.sub("", text).strip().rstrip(".")
        return InvalidRequest(".".join(within), f"a value of its type ({why[:_MOST_NAME]})")
    return InvalidRequest("body", f"JSON of the method's request ({text[:_MOST_NAME]})")


def _shown(name: str) -> str:
    return name.encode("utf-8", "replace").decode()[:_MOST_NAME] or '""'


def _refused(error: InvalidRequest, salvaged: bytes) -> JsonRefused:
    failure, status = status_of(error)
    ending: tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]] = (
        failure.code,
        status.message,
        ((DETAILS_KEY, status.SerializeToString()),),
    )
    return JsonRefused(ending, salvaged)


# --- What can be read of it, for it may be an emergency ------------------------------------------


def _texts_of(text: bytes) -> dict[str, Any]:
    """Find the texts in what is no JSON; of two of one name, the first."""
    found: dict[str, Any] = {}
    for number, match in enumerate(_TEXTS.finditer(text.decode("utf-8", "replace"))):
        if number == _MOST_TEXTS:
            break
        try:
            found.setdefault(match[1], json.loads(match[2]))
        except ValueError:
            continue
    return found


def _salvaged(kind: Any, told: Mapping[str, Any]) -> bytes:
    """Write the texts of a message, and of those in its lists; then break it off.

    Broken as it is, it is read by who looks for emergencies, and refused by everybody else.
    """
    message = GetMessageClass(kind)()
    for field, value in _known(kind, told):
        if field.type == FieldDescriptor.TYPE_STRING and isinstance(value, str):
            if not field.is_repeated:
                setattr(message, field.name, _shown_text(value))
        elif field.message_type is not None and field.is_repeated and isinstance(value, list):
            for one in value:
                if isinstance(one, Mapping):
                    part = _salvaged(field.message_type, one).removesuffix(_BREAK)
                    _merge(getattr(message, field.name), part)
    return message.SerializeToString() + _BREAK


def _merge(into: Any, part: bytes) -> None:
    try:
        into.add().ParseFromString(part)
    except (AttributeError, DecodeError):
        return  # A map, which holds no leg.


def _known(kind: Any, told: Mapping[str, Any]) -> Iterator[tuple[FieldDescriptor, Any]]:
    by_json = {field.json_name: field for field in kind.fields}
    for name, value in told.items():
        field = by_json.get(name) or kind.fields_by_name.get(name)
        if field is not None:
            yield field, value


def _shown_text(value: str) -> str:
    return value.encode("utf-8", "replace").decode()
