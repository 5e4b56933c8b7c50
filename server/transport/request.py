"""The headers of a request: what is asked, until when, in which encoding; or why not at all."""

from functools import lru_cache
from typing import NamedTuple

import grpc

from server.transport import metadata
from server.transport.framing import ACCEPTED_ENCODINGS, GZIP, IDENTITY
from server.transport.metadata import Fields, Metadatum
from server.transport.status import CallFailure

_CONTENT_TYPE = b"application/grpc"
_CONTENT_TYPE_KINDS = (_CONTENT_TYPE + b"+", _CONTENT_TYPE + b";")
_ENCODINGS = frozenset({IDENTITY, GZIP})
_MAX_TIMEOUT_DIGITS = 8
# Nothing is answered sooner, and the clock of the loop counts no less.
_LEAST_TIMEOUT_SECONDS = 0.001
_SECONDS_OF_UNIT = {
    b"H": 3600.0,
    b"M": 60.0,
    b"S": 1.0,
    b"m": 1e-3,
    b"u": 1e-6,
    b"n": 1e-9,
}


class Request(NamedTuple):
    """The head of one call.

    `timeout_seconds` is None without a deadline. `binary_metadata` is None where no name ends in
    `-bin`: then decoding the metadata cannot fail and waits until a servicer asks.
    """

    path: bytes
    timeout_seconds: float | None
    encoding: bytes
    fields: Fields
    binary_metadata: tuple[Metadatum, ...] | None

    def metadata(self) -> tuple[Metadatum, ...]:
        """Return what the caller sent beside the protocol's own headers."""
        if self.binary_metadata is not None:
            return self.binary_metadata
        return metadata.decode(self.fields)

    def accepts_gzip(self) -> bool:
        """Tell whether the caller can read compressed answers."""
        accepted = dict(self.fields).get(b"grpc-accept-encoding", b"")
        return GZIP in [name.strip() for name in accepted.split(b",")]


class NotGrpc(Exception):
    """The request is HTTP/2 but not gRPC; `http_status` says why, without a gRPC status."""

    def __init__(self, http_status: bytes) -> None:
        super().__init__(http_status)
        self.http_status = http_status


def read_request(fields: Fields, max_metadata_bytes: int) -> Request:
    """Read the headers of a call.

    Raises NotGrpc for a foreign request and CallFailure for one that gRPC answers with a status.
    """
    values = dict(fields)
    if values[b":method"] != b"POST":
        raise NotGrpc(b"405")
    if not _is_grpc(values.get(b"content-type", b"")):
        raise NotGrpc(b"415")
    names = b" ".join(values)
    if metadata.size_bytes(fields, values) > max_metadata_bytes:
        raise CallFailure(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"the metadata is larger than {max_metadata_bytes} bytes",
        )
    encoding = values.get(b"grpc-encoding", IDENTITY)
    if encoding not in _ENCODINGS:
        raise CallFailure(
            grpc.StatusCode.UNIMPLEMENTED,
            "the message encoding is not one of ours",
            [(b"grpc-accept-encoding", ACCEPTED_ENCODINGS)],
        )
    timeout = values.get(b"grpc-timeout")
    return Request(
        values[b":path"],
        None if timeout is None else timeout_seconds(timeout),
        encoding,
        fields,
        # One search in the joined names instead of one a name: this runs for every call.
        metadata.decode(fields) if metadata.BINARY_SUFFIX in names else None,
    )


# Callers use few different timeouts.
@lru_cache(maxsize=1024)
def timeout_seconds(value: bytes) -> float:
    """Read a `grpc-timeout`: at most eight digits and a unit from hours to nanoseconds."""
    digits, unit = value[:-1], value[-1:]
    if not digits.isdigit() or len(digits) > _MAX_TIMEOUT_DIGITS or unit not in _SECONDS_OF_UNIT:
        raise CallFailure(grpc.StatusCode.INTERNAL, "the grpc-timeout cannot be read")
    seconds = int(digits) * _SECONDS_OF_UNIT[unit]
    if seconds < _LEAST_TIMEOUT_SECONDS:
        raise CallFailure(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")
    return seconds


def _is_grpc(content_type: bytes) -> bool:
    """Accept the plain type and its `+proto` kind; `application/grpc-web` is something else."""
    if content_type == _CONTENT_TYPE:
        return True
    return content_type.startswith(_CONTENT_TYPE_KINDS)
