"""A question asked the quick way and the long way, and what each sends to the store for it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from callgate.v1 import authorization_pb2 as pb
from policy.facts import Catalogue, Tenant
from server.app.calls import advice_of
from server.calls.authorize import Authorizer
from server.calls.fast_path import FastPath, PendingReserve
from server.calls.messages.question import call_question
from server.calls.opening import Opening
from server.facts import FactsInUse, Snapshot
from server.facts.directory import Directory
from server.ledger import LedgerUnavailable
from server.ledger.deadline import Deadline
from server.ledger.redis_ledger import RedisLedger
from server.observability.metrics import Metrics
from server.observability.records import Records
from server.settings import Settings
from server.storage.redis import Store
from server.storage.redis.lane import pack

_SECONDS = 10.0


class Silent(Exception):
    """The store of this module answers nothing."""


@dataclass
class Sent:
    """A store, and its one lane, that keep what is sent."""

    commands: list[bytes] = field(default_factory=list)

    def lane_of(self, _key: str) -> Sent:
        return self

    def tell(self, command: bytes, _listener: Any) -> None:
        self.commands.append(command)

    async def call(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        self.commands.append(pack("FCALL", name, len(keys), *keys, *arguments))
        raise Silent


class NobodyAsks(PendingReserve):
    """A question that is never answered."""

    def remaining_seconds(self) -> float | None:
        return None

    def answer(self, response: bytes) -> None:
        raise AssertionError(response)

    def leave(self) -> None:
        raise AssertionError

    def fail(self, error: Exception) -> None:
        assert isinstance(error, LedgerUnavailable)


class BothWays:
    """The two ways by the same facts and the same clock, both to be moved by a test."""

    def __init__(self, catalogue: Catalogue, *tenants: Tenant, now_ms: int) -> None:
        self.now_ms = now_ms
        self.facts = SimpleNamespace(current=Snapshot(catalogue, Directory.of(tenants)))
        self._decision = ""
        self._numbers = itertools.count()
        self.sent = Sent()
        store = cast("Store", self.sent)
        clock = SimpleNamespace(now_ms=lambda: self.now_ms)
        ledger = RedisLedger(store, clock)
        self.authorizer = Authorizer(
            facts=cast("FactsInUse", self.facts),
            catching_up=cast("Any", None),
            ledger=ledger,
            ledger_is_up=lambda: True,
            journal_is_full=lambda _tenant: False,
            now_ms=clock.now_ms,
            deadline=Deadline(_SECONDS),
            slice_seconds=600,
            opening=cast("Opening", None),
            records=cast("Records", None),
            metrics=Metrics(),
            next_decision_id=lambda: self._decision,
        )
        self.quick = FastPath(self.authorizer, ledger, advice_of(Settings()))

    async def ask(self, request: pb.AuthorizeCallRequest) -> tuple[bytes | None, bytes]:
        """Ask both ways; return what each sends, None where the quick way leaves the question."""
        self._decision = f"{next(self._numbers):020d}"
        self.sent.commands.clear()
        is_quick = self.quick.ask(request, NobodyAsks())
        assert len(self.sent.commands) == is_quick
        with contextlib.suppress(Silent):
            await self.authorizer.decide(call_question(request), None)
        *quick, long = self.sent.commands
        return (quick[0] if quick else None), long
