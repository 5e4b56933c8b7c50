"""A client that speaks HTTP/2 frame by frame, to go where a well-behaved client cannot."""

import asyncio
import contextlib
import struct
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from interop import SERVICE

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
UNARY = f"/{SERVICE}/UnaryCall"
STREAMING_INPUT = f"/{SERVICE}/StreamingInputCall"
STREAMING_OUTPUT = f"/{SERVICE}/StreamingOutputCall"
DUPLEX = f"/{SERVICE}/FullDuplexCall"
_HEADER_BYTES = 9
_PATIENCE_SECONDS = 5.0

Fields = list[tuple[str, str]]


def request_fields(path: str = UNARY, *more: tuple[str, str], **changes: str) -> Fields:
    """Make the headers of a call; a keyword such as `content_type` changes one of them."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    fields.update({name.replace("_", "-"): value for name, value in changes.items()})
    return [*fields.items(), *more]


def framed(message: Any, flag: int = 0) -> bytes:
    """Put the five bytes before a message."""
    raw = message if isinstance(message, bytes) else message.SerializeToString()
    return struct.pack(">BI", flag, len(raw)) + raw


def gzipped(raw: bytes) -> bytes:
    """Compress as `grpc-encoding: gzip` says."""
    return zlib.compress(raw, wbits=16 + zlib.MAX_WBITS)


@dataclass
class Answer:
    """What came back on one stream, up to its end.

    Attributes:
        blocks: One header list for Trailers-Only, two for headers and trailers.
        data: The bytes between them.
        reset: The error code of an RST_STREAM, None without one.
    """

    blocks: list[dict[str, str]] = field(default_factory=list)
    data: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        """The gRPC status in the last header list."""
        return int(self.blocks[-1]["grpc-status"])

    @property
    def trailers_only(self) -> bool:
        """Whether the status came in the only header list, without any message."""
        return len(self.blocks) == 1 and "grpc-status" in self.blocks[0] and not self.data


class RawClient:
    """One connection; nothing is sent that the test does not send, but acknowledgements.

    Attributes:
        answers: What came back, by stream.
        goaways: The GOAWAY frames that arrived.
        credit: WINDOW_UPDATE increments that arrived, by stream (0 is the connection).
        settings: What the server announced.
        acknowledge_pings: Set to False to be silent when pinged.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._changed = asyncio.Event()
        self.answers: dict[int, Answer] = {}
        self.goaways: list[GoAwayFrame] = []
        self.credit: dict[int, int] = {}
        self.settings: dict[int, int] = {}
        self.pongs = 0
        self.pings = 0
        self.acknowledge_pings = True
        self.closed = False

    # Sending ---------------------------------------------------------------------------------

    def send(self, *frames: Frame) -> None:
        """Send frames as they are, in one piece."""
        self.send_raw(b"".join(frame.serialize() for frame in frames))

    def send_raw(self, data: bytes) -> None:
        """Send any bytes."""
        self._writer.write(data)

    def headers(self, stream_id: int, fields: Fields, *flags: str) -> HeadersFrame:
        """Make a HEADERS frame that is complete in itself."""
        block = self._encoder.encode(fields)
        return HeadersFrame(stream_id, block, flags=["END_HEADERS", *flags])

    def call(self, stream_id: int, fields: Fields, body: bytes = b"") -> None:
        """Send a whole unary request."""
        self.send(self.headers(stream_id, fields), DataFrame(stream_id, body, flags=["END_STREAM"]))

    async def ask(self, stream_id: int, fields: Fields, body: bytes = b"") -> Answer:
        """Send a whole unary request and wait for all of its answer."""
        self.call(stream_id, fields, body)
        return await self.answer(stream_id)

    def close(self) -> None:
        """Disconnect without a word."""
        self._writer.transport.abort()

    # Waiting ---------------------------------------------------------------------------------

    async def answer(self, stream_id: int) -> Answer:
        """Wait until a stream has ended."""
        await self.until(lambda: self._of(stream_id).ended)
        return self.answers[stream_id]

    async def until(self, condition: Any) -> None:
        """Wait until *condition* holds, or the patience of a test ends."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def settle(self) -> None:
        """Wait until the server has dealt with all that was sent before."""
        pongs = self.pongs
        self.send(PingFrame(0, b"settled?"))
        await self.until(lambda: self.pongs > pongs or self.closed)

    async def listen(self) -> None:
        """Take frames until the connection ends."""
        try:
            while True:
                header = await self._reader.readexactly(_HEADER_BYTES)
                frame, length = Frame.parse_frame_header(memoryview(header))
                frame.parse_body(memoryview(await self._reader.readexactly(length)))
                self._take(frame)
                self._changed.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed = True
            self._changed.set()

    def _of(self, stream_id: int) -> Answer:
        return self.answers.setdefault(stream_id, Answer())

    def _take(self, frame: Frame) -> None:
        match frame:
            case HeadersFrame():
                fields = self._decoder.decode(frame.data)
                block = {_text(name): _text(value) for name, value in fields}
                self._of(frame.stream_id).blocks.append(block)
            case DataFrame():
                self._of(frame.stream_id).data += frame.data
            case RstStreamFrame():
                self._of(frame.stream_id).reset = frame.error_code
                self._of(frame.stream_id).ended = True
            case WindowUpdateFrame():
                increment = self.credit.get(frame.stream_id, 0) + frame.window_increment
                self.credit[frame.stream_id] = increment
            case _:
                self._take_of_connection(frame)
        if "END_STREAM" in frame.flags:
            self._of(frame.stream_id).ended = True

    def _take_of_connection(self, frame: Frame) -> None:
        match frame:
            case SettingsFrame() if "ACK" not in frame.flags:
                self.settings.update(frame.settings)
                self.send(SettingsFrame(0, flags=["ACK"]))
            case PingFrame() if "ACK" in frame.flags:
                self.pongs += 1
            case PingFrame():
                self.pings += 1
                if self.acknowledge_pings:
                    self.send(PingFrame(0, frame.opaque_data, flags=["ACK"]))
            case GoAwayFrame():
                self.goaways.append(frame)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


@contextlib.asynccontextmanager
async def connected(
    port: int, *, settings: dict[int, int] | None = None, window_bytes: int = 65_535
) -> AsyncIterator[RawClient]:
    """Connect and greet; *window_bytes* is what the server may send on the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = RawClient(reader, writer)
    client.send_raw(PREFACE)
    client.send(SettingsFrame(0, settings=settings or {}))
    if window_bytes > 65_535:
        client.send(WindowUpdateFrame(0, window_increment=window_bytes - 65_535))
    listening = asyncio.create_task(client.listen())
    try:
        yield client
    finally:
        client.close()
        await listening


__all__ = [
    "DUPLEX",
    "PREFACE",
    "STREAMING_INPUT",
    "STREAMING_OUTPUT",
    "UNARY",
    "Answer",
    "ContinuationFrame",
    "DataFrame",
    "GoAwayFrame",
    "HeadersFrame",
    "PingFrame",
    "RawClient",
    "RstStreamFrame",
    "SettingsFrame",
    "WindowUpdateFrame",
    "connected",
    "framed",
    "gzipped",
    "request_fields",
]
