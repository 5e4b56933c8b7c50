"""Messages inside a stream of bytes: a flag, four bytes of length, then the message.

A message may span DATA frames and a DATA frame may hold many messages; neither boundary means
anything to the other.
"""

import struct
import zlib

import grpc

from server.transport.status import CallFailure

# Smaller ones gain little.
_LEAST_COMPRESSED_BYTES = 1_024


class SharedMessage:
    """What `TransportServer.share` makes of a message; it may be written to any number of calls."""

    __slots__ = ("_compressed", "_message", "_plain")

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._plain: bytes | None = None
        self._compressed: bytes | None = None

    @property
    def message(self) -> bytes:
        """The message as it was given."""
        return self._message

    def sealed(self, *, gzip: bool) -> bytes:
        """Return it with its prefix, compressed if it may be and that is worth while."""
        if gzip and len(self._message) >= _LEAST_COMPRESSED_BYTES:
            if self._compressed is None:
                self._compressed = seal_message(self._message, compressed=True)
            return self._compressed
        if self._plain is None:
            self._plain = seal_message(self._message)
        return self._plain


IDENTITY = b"identity"
GZIP = b"gzip"
ACCEPTED_ENCODINGS = b"identity,gzip"

_PREFIX = struct.Struct(">BI")
PREFIX_BYTES = _PREFIX.size
_COMPRESSED = 1
_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS
# The lowest level: the messages are small and the time is the caller's.
_GZIP_LEVEL = 1

# The flag of compression and the message as it came.
Frame = tuple[int, bytes]


class MessageReader:
    """Cuts the bytes of one stream into messages; keeps no more than one unfinished message."""

    __slots__ = ("_max_message_bytes", "_rest")

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._rest = bytearray()

    @property
    def unfinished_bytes(self) -> int:
        """What has arrived of a message that is not complete."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[Frame]:
        """Take *data* and return the messages that are complete now, still compressed.

        Raises CallFailure as soon as a prefix promises more than the limit.
        """
        frames: list[Frame] = []
        rest, start = self._rest, 0
        rest += data
        while len(rest) - start >= PREFIX_BYTES:
            flag, length_bytes = self._prefix(rest, start)
            end = start + PREFIX_BYTES + length_bytes
            if end > len(rest):
                break
            frames.append((flag, bytes(rest[start + PREFIX_BYTES : end])))
            start = end
        del rest[:start]
        return frames

    def _prefix(self, data: bytearray, start: int) -> tuple[int, int]:
        flag, length_bytes = _PREFIX.unpack_from(data, start)
        if flag > _COMPRESSED:
            raise CallFailure(grpc.StatusCode.INTERNAL, "a message has an unknown flag")
        if length_bytes > self._max_message_bytes:
            raise _too_large(self._max_message_bytes)
        return flag, length_bytes


def whole_frame(data: bytes, max_message_bytes: int) -> Frame | None:
    """Read *data* that is one message, neither more nor less, as it nearly always is; else None."""
    if len(data) >= PREFIX_BYTES:
        flag, length_bytes = _PREFIX.unpack_from(data)
        is_whole = len(data) == PREFIX_BYTES + length_bytes
        if is_whole and flag <= _COMPRESSED and length_bytes <= max_message_bytes:
            return flag, data[PREFIX_BYTES:]
    return None


def decompress(payload: bytes, encoding: bytes, max_message_bytes: int) -> bytes:
    """Return the message in a frame that is flagged as compressed.

    Raises CallFailure if it is damaged, or larger than the limit once decompressed.
    """
    if encoding != GZIP:
        raise CallFailure(grpc.StatusCode.INTERNAL, "a message is compressed without an encoding")
    return _inflate(payload, max_message_bytes)


def seal_message(message: bytes, *, compressed: bool = False) -> bytes:
    """Put the prefix before *message*, compressing it first if asked to."""
    if not compressed:
        return _PREFIX.pack(0, len(message)) + message
    payload = zlib.compress(message, _GZIP_LEVEL, _GZIP_WINDOW_BITS)
    return _PREFIX.pack(_COMPRESSED, len(payload)) + payload


def _inflate(payload: bytes, max_message_bytes: int) -> bytes:
    inflater = zlib.decompressobj(_GZIP_WINDOW_BITS)
    try:
        # One byte more than allowed is enough to know, however large the rest would be.
        message = inflater.decompress(payload, max_message_bytes + 1)
    except zlib.error as error:
        raise _damaged() from error
    if len(message) > max_message_bytes:
        raise _too_large(max_message_bytes)
    if not inflater.eof or inflater.unused_data:
        raise _damaged()
    return message


def _damaged() -> CallFailure:
    return CallFailure(grpc.StatusCode.INTERNAL, "a message cannot be decompressed")


def _too_large(max_message_bytes: int) -> CallFailure:
    return CallFailure(
        grpc.StatusCode.RESOURCE_EXHAUSTED, f"a message is larger than {max_message_bytes} bytes"
    )
