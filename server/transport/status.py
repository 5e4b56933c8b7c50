"""Statuses as they travel: trailers, percent-encoded texts, and the error codes of HTTP/2."""

from collections.abc import Sequence

import grpc

Headers = list[tuple[bytes, bytes]]

CODE_NUMBERS: dict[grpc.StatusCode, int] = {code: code.value[0] for code in grpc.StatusCode}

_STATUS_FIELDS = {code: (b"grpc-status", b"%d" % number) for code, number in CODE_NUMBERS.items()}
OK_TRAILERS: Headers = [_STATUS_FIELDS[grpc.StatusCode.OK]]

# Error codes of HTTP/2 (RFC 9113, section 7) that have a meaning of their own in gRPC.
NO_ERROR = 0x0
PROTOCOL_ERROR = 0x1
INTERNAL_ERROR = 0x2
REFUSED_STREAM = 0x7
CANCEL = 0x8
ENHANCE_YOUR_CALM = 0xB
INADEQUATE_SECURITY = 0xC

_STATUS_OF_RESET = {
    REFUSED_STREAM: grpc.StatusCode.UNAVAILABLE,
    CANCEL: grpc.StatusCode.CANCELLED,
    ENHANCE_YOUR_CALM: grpc.StatusCode.RESOURCE_EXHAUSTED,
    INADEQUATE_SECURITY: grpc.StatusCode.PERMISSION_DENIED,
}

# No status becomes REFUSED_STREAM: that one promises that nothing ran, and clients retry on it.
_RESET_OF_STATUS = {
    grpc.StatusCode.CANCELLED: CANCEL,
    grpc.StatusCode.DEADLINE_EXCEEDED: CANCEL,
    grpc.StatusCode.UNAVAILABLE: CANCEL,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ENHANCE_YOUR_CALM,
    grpc.StatusCode.PERMISSION_DENIED: INADEQUATE_SECURITY,
}

_TEXT_OF_BYTE = [
    bytes([byte]) if 0x20 <= byte <= 0x7E and byte != ord("%") else b"%%%02X" % byte
    for byte in range(256)
]


class CallFailure(Exception):
    """A call cannot go on; `code`, `text` and `metadata` (encoded) are what its caller is told."""

    def __init__(
        self, code: grpc.StatusCode, text: str, metadata: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.metadata = metadata


def status_of_reset(error_code: int) -> grpc.StatusCode:
    """Tell which status a stream ended with whose client reset it."""
    return _STATUS_OF_RESET.get(error_code, grpc.StatusCode.INTERNAL)


def reset_of_status(code: grpc.StatusCode) -> int:
    """Tell which error code stands for a status that can no longer be sent as trailers."""
    return _RESET_OF_STATUS.get(code, INTERNAL_ERROR)


def trailers(
    code: grpc.StatusCode,
    text: str,
    metadata: Sequence[tuple[bytes, bytes]],
    *,
    max_text_bytes: int,
) -> Headers:
    """Make the trailers that end a call; `metadata` is encoded already."""
    fields = [_STATUS_FIELDS[code]]
    if text:
        fields.append((b"grpc-message", percent_encode(text, max_text_bytes)))
    fields += metadata
    return fields


def percent_encode(text: str, max_text_bytes: int) -> bytes:
    """Encode the text of a status: printable ASCII but `%` stays, all else is percent-encoded.

    A text longer than *max_text_bytes* in UTF-8 is cut, never inside a character.
    """
    raw = text.encode("utf-8", "replace")
    if len(raw) > max_text_bytes:
        raw = raw[:max_text_bytes].decode("utf-8", "ignore").encode()
    if raw.isalnum():
        return raw
    return b"".join([_TEXT_OF_BYTE[byte] for byte in raw])
