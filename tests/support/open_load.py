"""Callers who do not wait for each other: questions at a rate, whatever becomes of them."""

from __future__ import annotations

import base64
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass

from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from bench.http2 import Headers, Http2, Where, framed
from callgate.v1 import authorization_pb2 as pb
from engines import a_question

PATH = "/callgate.v1.AuthorizationService/AuthorizeCall"
_PREFIX_BYTES = 5
_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one question: when it was asked, how long it took, how it ended."""

    call_id: str
    asked_at: float
    seconds: float
    code: int
    response: pb.AuthorizeCallResponse | None
    trailers: Headers

    @property
    def reason(self) -> str:
        """The reason in the status of one that failed."""
        details = self.trailers.get("grpc-status-details-bin")
        if details is None:  # It was the transport that gave up.
            return ""
        status, info = Status.FromString(base64.b64decode(details + "==")), ErrorInfo()
        status.details[0].Unpack(info)
        return str(info.reason)


class Load:
    """One connection, and the questions on it."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.outcomes: list[Outcome] = []
        self._open: dict[int, tuple[str, float]] = {}
        self._connection = Http2(Where(host, int(port)), PATH, ended=self._ended)

    def ask(self, number: str) -> None:
        """Ask about a new call."""
        question = a_question(number, seconds=1)
        stream_id = self._connection.call(framed(question.SerializeToString()))
        self._open[stream_id] = (question.call_id, time.monotonic())

    def at_a_rate(self, numbers: Iterator[str], per_second: float, seconds: float) -> None:
        """Ask so many a second, and wait until all are answered."""
        started = time.monotonic()
        asked, wanted = 0, int(per_second * seconds)
        while asked < wanted:
            due = min(wanted, int((time.monotonic() - started) * per_second) + 1)
            for _ in range(due - asked):
                self.ask(next(numbers))
            asked = max(asked, due)
            self._turn(0.001)
        self._rest()

    def in_turn(self, numbers: Iterator[str], in_flight: int, seconds: float) -> float:
        """Keep so many under way; return how many a second were answered."""
        started, before = time.monotonic(), len(self.outcomes)
        while time.monotonic() - started < seconds:
            while len(self._open) < in_flight:
                self.ask(next(numbers))
            self._turn(0.05)
        answered = len(self.outcomes) - before
        took = time.monotonic() - started
        self._rest()
        return answered / took

    def close(self) -> None:
        self._connection.close()

    def _rest(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._open:
            assert time.monotonic() < deadline, f"{len(self._open)} questions got no answer"
            self._turn(0.05)

    def _turn(self, seconds: float) -> None:
        self._connection.flush()
        if select.select([self._connection], [], [], seconds)[0]:
            self._connection.receive()

    def _ended(self, stream_id: int, data: bytes, trailers: Headers) -> None:
        call_id, asked_at = self._open.pop(stream_id)
        code = int(trailers["grpc-status"])
        response = None
        if code == 0:
            response = pb.AuthorizeCallResponse.FromString(data[_PREFIX_BYTES:])
        took = time.monotonic() - asked_at
        self.outcomes.append(Outcome(call_id, asked_at, took, code, response, trailers))
