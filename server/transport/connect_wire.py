"""How the Connect protocol writes unary calls over HTTP/1.1: statuses, errors, timeouts, gzip."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import grpc

from server.transport.http.exchange import Answered, Asked, BodyRefused
from server.transport.metadata import FIELD_OVERHEAD_BYTES

JSON, PROTO, EVENTS = "application/json", "application/proto", "text/event-stream"
# Smaller ones gain little.
_LEAST_COMPRESSED_BYTES = 1_024
_GZIP_WINDOW = 31
_TIMEOUT = re.compile(r"[0-9]{1,10}")
_MOST_PARAMETERS = 64
_MS = 1_000
BAD_REQUEST, NOT_FOUND, WRONG_METHOD, WRONG_TYPE, HEADERS_TOO_LARGE = 400, 404, 405, 415, 431

HTTP_STATUSES: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: BAD_REQUEST,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: BAD_REQUEST,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: BAD_REQUEST,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}


class Refused(Exception):
    """A request that is none of the protocol; `answered` says what is wrong with it."""

    def __init__(
        self,
        text: str,
        status: int = BAD_REQUEST,
        *,
        code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(text)
        self.answered = failed(code, text, status=status, headers=headers)


def failed(
    code: grpc.StatusCode,
    text: str,
    details: list[dict[str, Any]] | None = None,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answered:
    """Write how a call failed."""
    return Answered(
        HTTP_STATUSES[code] if status is None else status,
        json.dumps(error_of(code, text, details)).encode(),
        {"Content-Type": JSON, **(headers or {})},
    )


def error_of(
    code: grpc.StatusCode, text: str, details: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Say how a call failed, as JSON has it."""
    name = "canceled" if code is grpc.StatusCode.CANCELLED else code.name.lower()
    error: dict[str, Any] = {"code": name, "message": text}
    if details:
        error["details"] = details
    return error


def refused_body(error: BodyRefused) -> Answered:
    """Write that a body was not taken."""
    code = {
        BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
        408: grpc.StatusCode.DEADLINE_EXCEEDED,
    }.get(error.status, grpc.StatusCode.RESOURCE_EXHAUSTED)
    return failed(code, str(error), status=error.status)


def check_headers(asked: Asked, most_bytes: int) -> None:
    """Raise `Refused` where the headers are larger than a gRPC caller's may be."""
    size = sum(
        len(name) + len(value) + FIELD_OVERHEAD_BYTES for name, value in asked.headers.items()
    )
    if size > most_bytes:
        text = f"headers: are larger than {most_bytes} bytes together; send fewer"
        code = grpc.StatusCode.RESOURCE_EXHAUSTED
        raise Refused(text, HEADERS_TOO_LARGE, code=code)
    version = asked.headers.get("connect-protocol-version", "1")
    if version != "1":
        raise Refused(f'connect-protocol-version: is "{version[:32]}"; it is 1, or left out')


def deadline_of(asked: Asked) -> float | None:
    """Say when the caller waits no longer, by the loop's clock. Raises `Refused`."""
    told = asked.headers.get("connect-timeout-ms")
    if told is None:
        return None
    if not _TIMEOUT.fullmatch(told):
        raise Refused("connect-timeout-ms: must be milliseconds, 1 to 10 digits")
    return asyncio.get_running_loop().time() + int(told) / _MS


def media_type(asked: Asked) -> str:
    """Return what the body is said to be, without its parameters."""
    return asked.headers.get("content-type", "").partition(";")[0].strip().lower()


def parameters(query: str) -> dict[str, str]:
    """Read a query. Raises `Refused` where something is twice in it, or no text."""
    try:
        pairs = parse_qsl(
            query,
            keep_blank_values=True,
            strict_parsing=bool(query),
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError:
        raise Refused(
            f"query: must be name=value pairs joined by &, escaped UTF-8, at most "
            f"{_MOST_PARAMETERS} of them"
        ) from None
    read = dict(pairs)
    if len(read) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(f"{twice[:64]}: stands twice in the query; give it once")
    return read


def unpacked(body: bytes, encoding: str, most_bytes: int) -> bytes:
    """Decompress a body. Raises `Refused` and `BodyRefused`."""
    if encoding in {"", "identity"}:
        return body
    if encoding != "gzip":
        text = f'content-encoding: "{encoding[:32]}" is not known; use gzip or identity'
        raise Refused(
            text,
            501,
            code=grpc.StatusCode.UNIMPLEMENTED,
            headers={"Accept-Encoding": "gzip, identity"},
        )
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = unpacker.decompress(body, most_bytes + 1)
    except zlib.error:
        raise Refused("body: is not gzip, as content-encoding says") from None
    if len(plain) > most_bytes:
        text = f"body: is larger than {most_bytes} bytes (max_message_bytes) when unpacked"
        raise BodyRefused(413, text)
    if not unpacker.eof:
        raise Refused("body: its gzip ends in the middle")
    return plain


def packed(asked: Asked, answered: Answered) -> Answered:
    """Compress an answer where its caller reads gzip and it is worth while."""
    accepted = asked.headers.get("accept-encoding", "")
    if len(answered.body) < _LEAST_COMPRESSED_BYTES or "gzip" not in accepted:
        return answered
    headers = {**answered.headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Answered(answered.status, gzip.compress(answered.body, 1), headers)
