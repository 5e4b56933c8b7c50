"""Floods that a stranger could send: `python -m bench.floods NAME HOST PORT [AUTHORITY]`.

Each is made of frames over and over, on a connection that is opened again when the server
ends it, until killed.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator

from bench.http2 import Where, connect, framed
from callgate.v1 import authorization_pb2 as pb

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD = struct.Struct(">HBBBI")
_DATA, _HEADERS, _PRIORITY, _RESET, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 2, 3, 4, 6, 8
_END_STREAM, _END_HEADERS = 0x1, 0x4
_CHUNK_FRAMES = 500
_LAST_STREAM = 2**31 - 2
_HEADER_BYTES = 15_000
_NO_WINDOW = struct.pack(">HI", 4, 0)

_SERVICE = "/callgate.v1.AuthorizationService"
_NUMBERS = f"{_SERVICE}/GetEmergencyNumbers"
_EMERGENCY = pb.AuthorizeCallRequest(called_number="911", location="US").SerializeToString()
_ORDINARY = pb.AuthorizeCallRequest(
    tenant_id="nobody",
    gateway_id="stranger",
    call_id="flood",
    sequence=1,
    called_number="+14255550100",
    user_call=pb.UserCall(user_id="nobody"),
).SerializeToString()

# Gives the frames of one more step on a stream.
Step = Callable[[int], bytes]


def frame(  # noqa: PLR0917 - A frame has these four parts, in this order.
    kind: int, flags: int, stream_id: int, payload: bytes = b""
) -> bytes:
    """Write one frame."""
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def _block(path: str, *more: tuple[str, str]) -> bytes:
    """Write headers that mean the same however often they come: nothing enters the table."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "flood"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *more,
    ]
    return b"".join(_literal(name, value) for name, value in fields)


def _literal(name: str, value: str) -> bytes:
    return b"\x10" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    size = len(text)
    if size < 0x7F:
        return bytes([size]) + text.encode()
    size -= 0x7F
    length = bytearray([0x7F])
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*length, size]) + text.encode()


def _calls(path: str, message: bytes = b"", *more: tuple[str, str]) -> Step:
    block, body = _block(path, *more), framed(message)

    def step(stream_id: int) -> bytes:
        return frame(_HEADERS, _END_HEADERS, stream_id, block) + frame(
            _DATA, _END_STREAM, stream_id, body
        )

    return step


def _resets() -> Step:
    block = _block(f"{_SERVICE}/ControlCalls")

    def step(stream_id: int) -> bytes:
        return frame(_HEADERS, _END_HEADERS, stream_id, block) + frame(
            _RESET, 0, stream_id, b"\0\0\0\x08"
        )

    return step


def _half_closed() -> Step:
    """Ask and never read: the server's half of each stream stays open."""
    ask = _calls(_NUMBERS)

    def step(stream_id: int) -> bytes:
        first = frame(_SETTINGS, 0, 0, _NO_WINDOW) if stream_id == 1 else b""
        return first + ask(stream_id)

    return step


def _empty_data() -> Step:
    block = _block(f"{_SERVICE}/ControlCalls")

    def step(stream_id: int) -> bytes:
        first = frame(_HEADERS, _END_HEADERS, 1, block) if stream_id == 1 else b""
        return first + frame(_DATA, 0, 1)

    return step


def _same(data: bytes) -> Step:
    return lambda _stream_id: data


FLOODS: dict[str, Callable[[], Step]] = {
    "emergency numbers": lambda: _calls(_NUMBERS),
    "emergencies": lambda: _calls(f"{_SERVICE}/AuthorizeCall", _EMERGENCY),
    "questions": lambda: _calls(f"{_SERVICE}/AuthorizeCall", _ORDINARY),
    "health checks": lambda: _calls("/grpc.health.v1.Health/Check"),
    "health watches": lambda: _calls("/grpc.health.v1.Health/Watch"),
    "reflection": lambda: _calls(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", b"\x3a\x00"
    ),
    "unknown paths": lambda: _calls("/nobody.Serves/This"),
    "15 kB of headers": lambda: _calls(_NUMBERS, b"", ("x-much", "v" * _HEADER_BYTES)),
    "resets": _resets,
    "WINDOW_UPDATE": lambda: _same(frame(_WINDOW_UPDATE, 0, 0, b"\0\0\0\x01")),
    "PING": lambda: _same(frame(_PING, 0, 0, b"flooding")),
    "SETTINGS": lambda: _same(frame(_SETTINGS, 0, 0)),
    "empty DATA": _empty_data,
    "PRIORITY": lambda: _same(frame(_PRIORITY, 0, 2**31 - 1, b"\0\0\0\0\x01")),
    "half-closed": _half_closed,
}


def chunks(name: str) -> Iterator[bytes]:
    """Make the flood of one connection, piece by piece, until its streams are used up."""
    step = FLOODS[name]()
    stream_id = 1
    while stream_id + 2 * _CHUNK_FRAMES < _LAST_STREAM:
        ids = range(stream_id, stream_id + 2 * _CHUNK_FRAMES, 2)
        yield b"".join(map(step, ids))
        stream_id += 2 * _CHUNK_FRAMES


def flood(name: str, where: Where) -> None:
    """Flood a server for ever, connecting again whenever it ends the connection."""
    while True:
        with contextlib.suppress(OSError), connect(where) as one:
            if name != "half-closed":
                threading.Thread(target=_discard, args=(one,), daemon=True).start()
            one.sendall(_PREFACE + frame(_SETTINGS, 0, 0))
            one.sendall(frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30)))
            for chunk in chunks(name):
                one.sendall(chunk)


def _discard(one: socket.socket) -> None:
    with contextlib.suppress(OSError, ValueError):
        while one.recv(1 << 20):
            continue


if __name__ == "__main__":
    named, host, port, *authority = sys.argv[1:]
    flood(named, Where(host, int(port), *authority))
