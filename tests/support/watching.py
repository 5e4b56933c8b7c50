"""Readers of debits for tests: streams of an engine, what they fold to, and calls to be seen."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.authorization_pb2_grpc import AuthorizationServiceStub
from callgate.v1.credits_pb2 import GetBalanceResponse
from callgate.v1.debits_pb2 import JournalEntry, WatchDebitsRequest, WatchDebitsResponse
from callgate.v1.debits_pb2_grpc import DebitServiceStub
from engines import DEADLINE_SECONDS, a_question

CREDITS_CALL, POOL_CALL = "+390612345678", "+14255550123"
TENANT = "contoso"
LEGS = 50

Stream = Any


def watch(engine: str | grpc.Channel, **fields: Any) -> Stream:
    """Open a stream of contoso's debits, by address or channel; its `cancel()` ends it."""
    channel = grpc.insecure_channel(engine) if isinstance(engine, str) else engine
    stub = DebitServiceStub(channel)
    return stub.WatchDebits(WatchDebitsRequest(**({"tenant_id": TENANT} | fields)))


def small_buffers(address: str) -> grpc.Channel:
    """Connect as a client that takes little more from the wire than its program reads."""
    options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16_384)]
    return grpc.insecure_channel(address, options)


@dataclass(slots=True)
class Folded:
    """What entries add up to: money by its sums, and where the reader is."""

    available_micros: int = 0
    reserved_micros: int = 0
    debited_micros: int = 0
    held_seconds: int = 0
    cursor: str = ""
    responses: int = 0
    has_account: bool = False
    entries: list[JournalEntry] = field(default_factory=list)

    def take(self, response: WatchDebitsResponse, *, since_opened: bool = True) -> None:
        """Add up one response; if it tells how the account stands, that must be the same.

        It can be the same only where everything was added since the account was opened.
        """
        self.responses += 1
        for entry in response.entries:
            self.entries.append(entry)
            for move in entry.movements:
                held, debited = move.held.micros, move.debited.micros
                self.available_micros += move.added.micros - held - debited
                self.reserved_micros += held
                self.debited_micros += max(0, debited)
                self.held_seconds += move.held_duration.seconds
        self.cursor = response.cursor
        self.has_account = response.HasField("account")
        if self.has_account and since_opened:
            account = response.account
            assert self.sums == (
                account.available.micros,
                account.reserved.micros,
                account.debited.micros,
            )

    @property
    def sums(self) -> tuple[int, int, int]:
        return self.available_micros, self.reserved_micros, self.debited_micros


def sums_of(balance: GetBalanceResponse) -> tuple[int, int, int]:
    return balance.available.micros, balance.reserved.micros, balance.debited.micros


@dataclass(slots=True)
class _Call:
    question: pb.AuthorizeCallRequest
    sequence: int = 1
    used_seconds: int = 0

    def names(self) -> dict[str, Any]:
        self.sequence += 1
        asked = self.question
        return {
            "tenant_id": asked.tenant_id,
            "gateway_id": asked.gateway_id,
            "call_id": asked.call_id,
            "sequence": self.sequence,
        }


def play_calls(stubs: Sequence[AuthorizationServiceStub], chance: random.Random) -> Iterator[None]:
    """Play calls for ever, one question a step, each asked of any of the engines."""
    calls: list[_Call] = []
    while True:
        stub = chance.choice(stubs)
        if len(calls) < 3 or (len(calls) < 12 and chance.random() < 0.4):
            # One in three is paid by a pool.
            number = chance.choice([CREDITS_CALL, CREDITS_CALL, POOL_CALL])
            call = _Call(a_question(number, seconds=chance.randrange(1, 200)))
            if stub.AuthorizeCall(call.question, timeout=DEADLINE_SECONDS).HasField("grant"):
                calls.append(call)
        else:
            _go_on(stub, calls, chance)
        yield


def _go_on(stub: AuthorizationServiceStub, calls: list[_Call], chance: random.Random) -> None:
    call = chance.choice(calls)
    verb = chance.choice(("extend", "extend", "settle", "release"))
    if verb == "release" and call.used_seconds == 0:
        calls.remove(call)
        stub.ReleaseCall(pb.ReleaseCallRequest(**call.names()), timeout=DEADLINE_SECONDS)
        return
    call.used_seconds += chance.randrange(0, 90)
    if verb == "extend":
        extend = pb.ExtendCallRequest(**call.names())
        extend.used_duration.seconds = call.used_seconds
        if not stub.ExtendCall(extend, timeout=DEADLINE_SECONDS).HasField("grant"):
            calls.remove(call)
        return
    calls.remove(call)
    settle = pb.SettleCallRequest(**call.names())
    settle.used_duration.seconds = call.used_seconds
    stub.SettleCall(settle, timeout=DEADLINE_SECONDS)


def ask_for_legs(stub: AuthorizationServiceStub) -> float:
    """Have 50 calls granted at once, each an entry; return how long that took, in seconds."""
    started = time.monotonic()
    answers = stub.AuthorizeCalls(
        pb.AuthorizeCallsRequest(
            legs=[a_question(POOL_CALL, seconds=1) for _ in range(LEGS)],
            mode=pb.LEG_MODE_ALL_OR_NOTHING,
        ),
        timeout=DEADLINE_SECONDS,
    ).answers
    assert all(answer.HasField("grant") for answer in answers)
    return time.monotonic() - started
