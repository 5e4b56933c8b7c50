"""A bridge that begins and ends calls without end, as fast as it is answered."""

from __future__ import annotations

import random
import select
import time
from collections import deque
from collections.abc import Iterator

from bench.control import CONTROL_PATH, ITEMS_A_MESSAGE
from bench.facts import Shape, tenant_id
from bench.http2 import Broken, Headers, Http2, Where, framed
from bench.questions import GATEWAY_ID, Asked, questions
from callgate.v1 import authorization_pb2 as pb

IN_FLIGHT = 256
LONGEST_CALL_SECONDS = 60
_WAIT_SECONDS = 30.0
_PREFIX_BYTES = 5
_PAUSE_SECONDS = 0.01
_TROUBLE = frozenset({"OVERLOADED", "LEDGER_UNAVAILABLE"})


class SoakBridge:
    """One stream; each call is authorized, talked for a while that does not pass, and settled.

    Attributes:
        ended: How many calls were settled.
        asked_again: How many questions had to be asked again: a machine was too busy for them.
    """

    def __init__(self, where: Where, shape: Shape, seed: int) -> None:
        self.ended = 0
        self.asked_again = 0
        self._chance = random.Random(seed)
        asked = questions(shape, f"soak-{seed}")
        self._calls: Iterator[Asked] = (one for one in asked if not one.is_refused)
        self._http2 = Http2(
            where, CONTROL_PATH, ended=self._on_end, arrived=self._on_data, timeout_seconds=None
        )
        self._number = 0
        self._unanswered: dict[int, pb.ControlQuestion] = {}
        self._to_ask: deque[pb.ControlQuestion] = deque()
        self._data = b""
        self._stream_id = self._http2.open()
        tenants = [tenant_id(at) for at in range(shape.tenants)]
        self._send(
            pb.ControlCallsRequest(hello=pb.ControlHello(gateway_id=GATEWAY_ID, tenant_ids=tenants))
        )

    def play(self, calls: int) -> None:
        """Begin and end so many calls. Raises `Broken` where one is not answered as it should."""
        begun, until = 0, self.ended + calls
        while self.ended < until:
            while begun < calls and len(self._unanswered) + len(self._to_ask) < IN_FLIGHT:
                self._ask(authorize_call=next(self._calls).message())
                begun += 1
            self._send_waiting()
            self._http2.flush()
            if not select.select([self._http2], (), (), _WAIT_SECONDS)[0]:
                raise Broken(f"nothing came for {_WAIT_SECONDS:g} s")
            self._http2.receive()

    def close(self) -> None:
        """Leave."""
        self._http2.close()

    def _ask(self, **kind: object) -> None:
        self._number += 1
        self._to_ask.append(pb.ControlQuestion(item_id=self._number, **kind))  # type: ignore[arg-type] # One of its kinds.

    def _send_waiting(self) -> None:
        while self._to_ask:
            many = min(ITEMS_A_MESSAGE, len(self._to_ask))
            some = [self._to_ask.popleft() for _ in range(many)]
            self._unanswered.update((one.item_id, one) for one in some)
            self._send(pb.ControlCallsRequest(questions=some))

    def _send(self, message: pb.ControlCallsRequest) -> None:
        body = framed(message.SerializeToString())
        while not self._http2.takes(len(body)):
            self._http2.flush()
            select.select([self._http2], (), (), _WAIT_SECONDS)
            self._http2.receive()
        self._http2.send(self._stream_id, body)

    def _on_data(self, data: bytes) -> None:
        self._data += data
        while len(self._data) >= _PREFIX_BYTES:
            end = _PREFIX_BYTES + int.from_bytes(self._data[1:_PREFIX_BYTES], "big")
            if len(self._data) < end:
                return
            message, self._data = self._data[_PREFIX_BYTES:end], self._data[end:]
            for item in pb.ControlCallsResponse.FromString(message).items:
                if item.item_id:
                    self._on_answer(item)

    def _on_answer(self, item: pb.ControlItem) -> None:
        question = self._unanswered.pop(item.item_id)
        if item.HasField("error") and item.error.reason in _TROUBLE:
            self.asked_again += 1
            self._to_ask.append(question)
            time.sleep(_PAUSE_SECONDS)
        elif item.HasField("settle_call"):
            self.ended += 1
        elif item.HasField("authorize_call") and item.authorize_call.HasField("grant"):
            asked = question.authorize_call
            settle = pb.SettleCallRequest(
                tenant_id=asked.tenant_id,
                gateway_id=asked.gateway_id,
                call_id=asked.call_id,
                sequence=2,
            )
            settle.used_duration.seconds = self._chance.randint(1, LONGEST_CALL_SECONDS)
            self._ask(settle_call=settle)
        else:
            raise Broken(f"{question} came back as {item}")

    def _on_end(self, _stream_id: int, _data: bytes, headers: Headers) -> None:
        raise Broken(f"the stream ended with {headers}")
