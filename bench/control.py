"""One bridge with a ControlCalls stream: so many questions unanswered, many a message."""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Sequence

from bench.facts import TENANTS, tenant_id
from bench.http2 import Broken, Headers, Http2, Where, framed
from bench.questions import GATEWAY_ID, Asked
from callgate.v1 import authorization_pb2 as pb

CONTROL_PATH = "/callgate.v1.AuthorizationService/ControlCalls"
ITEMS_A_MESSAGE = 64
_WAIT_SECONDS = 20.0
_MESSAGE_HEAD = struct.Struct(">BI")


class Bridge:
    """Asks everything it is given over one stream."""

    def __init__(self, where: Where, asked: Sequence[Asked], in_flight: int) -> None:
        self._http2 = Http2(where, CONTROL_PATH, ended=self._on_end, arrived=self._on_data)
        self._stream_id = self._http2.open()
        self._in_flight = in_flight
        # Item n + 1 is question n. Prepared whole: putting messages together is only joining.
        self._items = [_item(number, one) for number, one in enumerate(asked, start=1)]
        self._answers = [pb.AuthorizeCallResponse()] * len(asked)
        self._asked_ns = [0] * len(asked)
        self._latencies_ns = [0] * len(asked)
        self._sent = 0
        self._answered = 0
        self._data = b""

    def greet(self) -> None:
        """Say hello and ask the first question: a stream is opened once and used for days."""
        tenants = [tenant_id(at) for at in range(TENANTS)]
        hello = pb.ControlHello(gateway_id=GATEWAY_ID, tenant_ids=tenants)
        message = pb.ControlCallsRequest(hello=hello)
        self._http2.send(self._stream_id, framed(message.SerializeToString()))
        self._ask_until(1)

    def run(self) -> tuple[list[pb.AuthorizeCallResponse], list[int]]:
        """Ask the rest; return the answers, and how long each took in nanoseconds."""
        self._ask_until(len(self._items))
        self._http2.close()
        return self._answers[1:], self._latencies_ns[1:]

    def _ask_until(self, last: int) -> None:
        """Ask, and wait for the answers, up to and with the item of this number."""
        while self._answered < last:
            self._ask(last)
            self._http2.flush()
            ready, _, _ = select.select([self._http2], (), (), _WAIT_SECONDS)
            if not ready:
                raise Broken(f"nothing came for {_WAIT_SECONDS:g} s")
            self._http2.receive()

    def _ask(self, last: int) -> None:
        while self._sent < last:
            room = min(self._in_flight - (self._sent - self._answered), ITEMS_A_MESSAGE)
            items = self._items[self._sent : min(self._sent + room, last)]
            body = framed(b"".join(items))
            if not items or not self._http2.takes(len(body)):
                return
            now_ns = time.perf_counter_ns()
            self._http2.send(self._stream_id, body)
            for number in range(self._sent, self._sent + len(items)):
                self._asked_ns[number] = now_ns
            self._sent += len(items)

    def _on_data(self, data: bytes) -> None:
        self._data += data
        while len(self._data) >= _MESSAGE_HEAD.size:
            _, size = _MESSAGE_HEAD.unpack_from(self._data)
            end = _MESSAGE_HEAD.size + size
            if len(self._data) < end:
                return
            message, self._data = self._data[_MESSAGE_HEAD.size : end], self._data[end:]
            for item in pb.ControlCallsResponse.FromString(message).items:
                if item.item_id:
                    self._on_answer(item)

    def _on_answer(self, item: pb.ControlItem) -> None:
        if not item.HasField("authorize_call"):
            raise Broken(f"an item came back as {item}")
        number = item.item_id - 1
        self._answers[number] = item.authorize_call
        self._latencies_ns[number] = time.perf_counter_ns() - self._asked_ns[number]
        self._answered += 1

    def _on_end(self, _stream_id: int, _data: bytes, headers: Headers) -> None:
        raise Broken(f"the stream ended with {headers}")


def _item(number: int, asked: Asked) -> bytes:
    question = pb.ControlQuestion(item_id=number, authorize_call=asked.message())
    # A repeated field's items may simply stand behind each other.
    return pb.ControlCallsRequest(questions=[question]).SerializeToString()
