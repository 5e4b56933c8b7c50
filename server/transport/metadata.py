"""Metadata between Python and the wire: text, binary values, and the names that are ours."""

import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import grpc

from server.transport.status import CallFailure

Fields = Sequence[tuple[bytes, bytes]]

BINARY_SUFFIX = b"-bin"
FIELD_OVERHEAD_BYTES = 32  # RFC 9113, section 10.5.1.

# What the protocol itself says with headers is no metadata of the caller.
_PROTOCOL_NAMES = frozenset(
    {
        b":method",
        b":scheme",
        b":path",
        b":authority",
        b"te",
        b"host",
        b"content-type",
        b"content-length",
        b"grpc-timeout",
        b"grpc-encoding",
        b"grpc-accept-encoding",
        b"grpc-message-type",
        b"grpc-status",
        b"grpc-message",
    }
)
_NAME = re.compile(rb"[0-9a-z_.-]+")
_TEXT_VALUE = re.compile(rb"[\x20-\x7e]*")


class Metadatum(NamedTuple):
    """One pair of metadata: a name in lower case; bytes under a name in `-bin`, text otherwise."""

    key: str
    value: str | bytes


def size_bytes(fields: Fields, values: Mapping[bytes, bytes]) -> int:
    """Count a header list as RFC 9113 does: names, values, and 32 bytes a field.

    *values* is the same as a mapping.
    """
    # Joining counts in one step of C what a loop would count in many of Python.
    if len(fields) == len(values):
        text_bytes = len(b"".join(values)) + len(b"".join(values.values()))
    else:
        text_bytes = len(b"".join(chain.from_iterable(fields)))  # A name came twice.
    return text_bytes + FIELD_OVERHEAD_BYTES * len(fields)


def decode(fields: Fields) -> tuple[Metadatum, ...]:
    """Read what a caller sent, less the headers of the protocol.

    Raises CallFailure if a binary value is not base64.
    """
    metadata: list[Metadatum] = []
    for name, value in fields:
        if name in _PROTOCOL_NAMES:
            continue
        if name.endswith(BINARY_SUFFIX):
            # Several values of one name may arrive joined; base64 knows no comma.
            metadata += [
                Metadatum(name.decode("ascii"), _from_base64(part.strip()))
                for part in value.split(b",")
            ]
        else:
            metadata.append(Metadatum(name.decode("ascii"), value.decode("latin-1")))
    return tuple(metadata)


def encode(
    metadata: Iterable[tuple[str, str | bytes]], max_bytes: int
) -> list[tuple[bytes, bytes]]:
    """Make headers of what a servicer wants to say.

    Raises ValueError for a name or value that cannot travel, and if all of it together is larger
    than *max_bytes*: clients refuse such an answer whole.
    """
    fields = [_encode_field(key, value) for key, value in metadata]
    if size_bytes(fields, dict(fields)) > max_bytes:
        raise ValueError(f"metadata is larger than {max_bytes} bytes")
    return fields


def _encode_field(key: str, value: str | bytes) -> tuple[bytes, bytes]:
    name = key.encode("ascii", "replace")
    if not _NAME.fullmatch(name) or name in _PROTOCOL_NAMES:
        raise ValueError(f"not a name for metadata: {key!r}")
    if name.endswith(BINARY_SUFFIX):
        if not isinstance(value, bytes):
            raise ValueError(f"the value of {key} must be bytes")
        return name, binascii.b2a_base64(value, newline=False).rstrip(b"=")
    text = value if isinstance(value, bytes) else value.encode("utf-8", "replace")
    if not _TEXT_VALUE.fullmatch(text):
        raise ValueError(f"the value of {key} is not printable ASCII")
    return name, text.strip()


def _from_base64(value: bytes) -> bytes:
    """Decode base64 whether padded or not; the protocol asks servers to accept both."""
    unpadded = value.rstrip(b"=")
    try:
        return binascii.a2b_base64(unpadded + b"=" * (-len(unpadded) % 4), strict_mode=True)
    except binascii.Error as error:
        raise CallFailure(
            grpc.StatusCode.INTERNAL, "a binary metadata value is not base64"
        ) from error
