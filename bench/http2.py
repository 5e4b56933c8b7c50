"""A small HTTP/2 client for load: prepared requests out, whole answers in, little time between.

It speaks what a gRPC client needs against a server that behaves, refuses to go on with any other,
and costs a few microseconds per call, so that the server is what is measured.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from typing import NamedTuple

from hpack import Decoder, Encoder

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD = struct.Struct(">HBBBI")
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 0x1, 0x1, 0x4, 0x8
_INITIAL_WINDOW_SIZE = 4
_DEFAULT_WINDOW_BYTES = 65_535
_MAX_WINDOW_BYTES = 2**31 - 1
_MAX_FRAME_BYTES = 16_384
_HEAD_BYTES = 9
_RECEIVE_BYTES = 256 * 1024
_MESSAGE_HEAD = struct.Struct(">BI")

Headers = dict[str, str]


class Broken(Exception):
    """The server ended the connection or a stream, or did what this client does not understand."""


class Where(NamedTuple):
    """A server: its address, and the authority's certificate where it speaks TLS."""

    host: str
    port: int
    authority_file: str = ""


def framed(message: bytes) -> bytes:
    """Put gRPC's five bytes before a message."""
    return _MESSAGE_HEAD.pack(0, len(message)) + message


class Http2:
    """One connection. `ended` is told each stream's data and last headers, `arrived` all data.

    Calls have a deadline of `timeout_seconds`, or none.
    """

    def __init__(
        self,
        where: Where,
        path: str,
        *,
        ended: Callable[[int, bytes, Headers], None],
        arrived: Callable[[bytes], None] | None = None,
        timeout_seconds: int | None = 20,
    ) -> None:
        self._ended = ended
        self._arrived = arrived
        self._streams: dict[int, list[bytes]] = {}
        self._next_id = 1
        self._window_bytes = _DEFAULT_WINDOW_BYTES
        self._stream_window_bytes = _DEFAULT_WINDOW_BYTES
        self._first_window_bytes = _DEFAULT_WINDOW_BYTES
        self._out = bytearray()
        self._in = b""
        self._decoder = Decoder()
        self._known_blocks: dict[bytes, Headers] = {}
        headers = _request_headers(where, path, timeout_seconds)
        encoder = Encoder()
        # From the second on, every field is an index into the table, and the bytes are the same.
        self._blocks = [encoder.encode(headers), encoder.encode(headers)]
        self.socket = connect(where)
        self._greet()

    def fileno(self) -> int:
        """Give what `select` waits for."""
        return self.socket.fileno()

    def call(self, body: bytes) -> int:
        """Send one framed message as a whole request; return its stream."""
        stream_id = self.open()
        self._send_data(stream_id, body, _END_STREAM)
        return stream_id

    def open(self) -> int:
        """Begin a request whose messages follow."""
        stream_id, self._next_id = self._next_id, self._next_id + 2
        self._streams[stream_id] = []
        block = self._blocks[stream_id > 1]
        self._out += _frame(_HEADERS, _END_HEADERS, stream_id, block)
        self._stream_window_bytes = self._first_window_bytes
        return stream_id

    def send(self, stream_id: int, body: bytes) -> None:
        """Send one framed message of a stream that stays open. One such stream a connection."""
        for at in range(0, len(body), _MAX_FRAME_BYTES):
            self._send_data(stream_id, body[at : at + _MAX_FRAME_BYTES], 0)
        self._stream_window_bytes -= len(body)

    def takes(self, size: int) -> bool:
        """Say whether the server's windows let so many bytes be sent now."""
        return min(self._window_bytes, self._stream_window_bytes) >= size

    def flush(self) -> None:
        """Write what is waiting to be sent."""
        if self._out:
            # Blocking on purpose: a request is small, and a server that does not read is broken.
            self.socket.setblocking(True)
            self.socket.sendall(self._out)
            self.socket.setblocking(False)
            self._out.clear()

    def receive(self) -> None:
        """Read what has arrived. Raises `Broken`."""
        while True:
            try:
                data = self.socket.recv(_RECEIVE_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            if not data:
                raise Broken("the server closed the connection")
            self._take(data)
            # Only TLS may hold back bytes that `select` does not see.
            if not isinstance(self.socket, ssl.SSLSocket):
                return

    def close(self) -> None:
        """Leave."""
        self.socket.close()

    def _greet(self) -> None:
        settings = struct.pack(">HI", _INITIAL_WINDOW_SIZE, _MAX_WINDOW_BYTES)
        grown = struct.pack(">I", _MAX_WINDOW_BYTES - _DEFAULT_WINDOW_BYTES)
        self._out += _PREFACE + _frame(_SETTINGS, 0, 0, settings)
        self._out += _frame(_WINDOW_UPDATE, 0, 0, grown)
        self.flush()

    def _send_data(self, stream_id: int, body: bytes, flags: int) -> None:
        self._window_bytes -= len(body)
        self._out += _frame(_DATA, flags, stream_id, body)

    def _take(self, data: bytes) -> None:
        data, at = self._in + data, 0
        while len(data) - at >= _HEAD_BYTES:
            high, low, kind, flags, stream_id = _HEAD.unpack_from(data, at)
            end = at + _HEAD_BYTES + (high << 8 | low)
            if end > len(data):
                break
            self._on_frame(kind, flags, stream_id, data[at + _HEAD_BYTES : end])
            at = end
        self._in = data[at:]

    def _on_frame(  # noqa: PLR0917 - A frame has these four parts, in this order.
        self, kind: int, flags: int, stream_id: int, payload: bytes
    ) -> None:
        if kind == _DATA and not flags & _PADDED:
            self._on_data(stream_id, payload)
        elif kind == _HEADERS and flags & (_END_HEADERS | _PADDED) == _END_HEADERS:
            self._on_headers(flags, stream_id, payload)
        elif kind == _WINDOW_UPDATE:
            self._on_window(stream_id, struct.unpack(">I", payload)[0])
        elif kind == _SETTINGS:
            self._on_settings(flags, payload)
        elif kind == _PING:
            self._on_ping(flags, payload)
        elif kind == _RESET and stream_id not in self._streams:
            pass  # The answer came before the server had read all of the question.
        elif kind in {_DATA, _HEADERS, _RESET, _GOAWAY}:
            raise Broken(f"frame {kind} with flags {flags} on stream {stream_id}: {payload!r}")

    def _on_headers(self, flags: int, stream_id: int, block: bytes) -> None:
        headers = self._read_block(block)
        if flags & _END_STREAM:
            self._ended(stream_id, b"".join(self._streams.pop(stream_id)), headers)

    def _on_data(self, stream_id: int, payload: bytes) -> None:
        if self._arrived is None:
            self._streams[stream_id].append(payload)
        else:
            self._arrived(payload)

    def _on_window(self, stream_id: int, increment: int) -> None:
        if stream_id == 0:
            self._window_bytes += increment
        else:
            self._stream_window_bytes += increment

    def _on_ping(self, flags: int, payload: bytes) -> None:
        if not flags & _ACK:
            self._out += _frame(_PING, _ACK, 0, payload)

    def _on_settings(self, flags: int, payload: bytes) -> None:
        if flags & _ACK:
            return
        for name, value in struct.iter_unpack(">HI", payload):
            if name == _INITIAL_WINDOW_SIZE:
                self._stream_window_bytes += value - self._first_window_bytes
                self._first_window_bytes = value
        self._out += _frame(_SETTINGS, _ACK, 0, b"")
        self.flush()

    def _read_block(self, block: bytes) -> Headers:
        known = self._known_blocks.get(block)
        if known is not None:
            return known
        headers = {str(name): str(value) for name, value in self._decoder.decode(block)}
        if all(0x80 < byte < 0xFF for byte in block):
            # Nothing but indexes: it means the same until the table changes.
            self._known_blocks[block] = headers
        else:
            self._known_blocks.clear()
        return headers


def _frame(  # noqa: PLR0917 - As above.
    kind: int, flags: int, stream_id: int, payload: bytes
) -> bytes:
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def _request_headers(where: Where, path: str, timeout_seconds: int | None) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "https" if where.authority_file else "http"),
        (":path", path),
        (":authority", f"{where.host}:{where.port}"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "callgate-bench"),
        *([] if timeout_seconds is None else [("grpc-timeout", f"{timeout_seconds}S")]),
    ]


def connect(where: Where) -> socket.socket:
    """Open a connection, with TLS where the server speaks it."""
    plain = socket.create_connection((where.host, where.port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not where.authority_file:
        return plain
    context = ssl.create_default_context(cafile=where.authority_file)
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(plain, server_hostname=where.host)
