"""Reading ErrorInfo and RetryInfo out of a `google.rpc.Status`, without the package of its stubs.

The wheel leans on grpcio and protobuf alone. Of `google.rpc.Status` only the details are wanted,
and of those two messages of a few fields; so they are read here field by field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10

_STATUS_DETAILS = 3
_INFO_REASON, _INFO_DOMAIN, _INFO_METADATA = 1, 2, 3
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_RETRY_DELAY = 1

_UNREADABLE = (DecodeError, UnicodeDecodeError, IndexError, ValueError, OverflowError)


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """Why an RPC failed, for programs: `reason` is unique in its `domain`."""

    reason: str
    domain: str
    metadata: dict[str, str]


def error_info_of(status: bytes) -> ErrorInfo | None:
    """Return the first ErrorInfo of a serialised `google.rpc.Status`.

    None where there is none, or where the bytes are no such message: the details of an error only
    add to its code and text, which are there in any case.
    """
    try:
        message = _detail(status, "ErrorInfo")
        return None if message is None else _error_info(message)
    except _UNREADABLE:
        return None


def retry_delay_of(status: bytes) -> float | None:
    """Return the delay of a status's RetryInfo in seconds; None where there is none."""
    try:
        message = _detail(status, "RetryInfo")
        if message is None:
            return None
        delay = Duration.FromString(dict(_fields(message)).get(_RETRY_DELAY, b""))
        return delay.ToTimedelta().total_seconds()
    except _UNREADABLE:
        return None


def _detail(status: bytes, name: str) -> bytes | None:
    for number, field in _fields(status):
        detail = Any.FromString(field) if number == _STATUS_DETAILS else Any()
        if detail.type_url.endswith(f"/google.rpc.{name}"):
            return detail.value
    return None


def _error_info(message: bytes) -> ErrorInfo:
    reason = domain = ""
    metadata = {}
    for number, field in _fields(message):
        if number == _INFO_REASON:
            reason = field.decode()
        elif number == _INFO_DOMAIN:
            domain = field.decode()
        elif number == _INFO_METADATA:
            entry = dict(_fields(field))
            metadata[entry.get(_ENTRY_KEY, b"").decode()] = entry.get(_ENTRY_VALUE, b"").decode()
    return ErrorInfo(reason, domain, metadata)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each field that holds bytes; the others are stepped over."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind == _BYTES:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError("the message ends inside a field")
            yield tag >> 3, message[at : at + size]
            at += size
        elif kind in {_FIXED_64, _FIXED_32}:
            at += 8 if kind == _FIXED_64 else 4
        else:
            raise ValueError(f"wire type {kind} is not in use")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the number that starts at `at`, and where it ends."""
    value = 0
    for place in range(_MAX_VARINT_BYTES):
        byte = message[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number of more than ten bytes")
