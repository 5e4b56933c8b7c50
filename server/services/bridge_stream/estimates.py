"""What remains for the calls of one stream: worked out where money moved, told where it did."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from callgate.v1 import authorization_pb2 as pb
from policy.decision import FreePurse
from policy.reasons import Reason
from server.ledger import AccountUnknown, LedgerError
from server.ledger.estimates import (
    MAX_SECONDS,
    KeptPurses,
    RoomReader,
    read_purses,
    remaining_seconds,
)
from server.ledger.journal import Batch
from server.services.bridge_stream.known_calls import NOT_SILENT, RunningCall, RunningCalls
from server.services.bridge_stream.messages import (
    Deadline,
    deadline_item,
    estimate_item,
    warning_item,
)
from server.services.bridge_stream.outbox import Outbox

# What remains is worked out at most this often for one account.
ESTIMATE_SECONDS = 1.0
# Between two turns of the loop: so many calls are asked the rules about, or are estimated.
CALLS_A_TURN = 100
# An estimate is sent where it moved by a tenth or more.
_MOVED_TENTHS = 10


@dataclass(slots=True)
class Heard:
    """Which entries of a tenant were heard since it was looked at: from one to another."""

    first_n: int
    last_n: int


_NOTHING = Heard(sys.maxsize, -1)


class Estimates:
    """Looks at accounts that moved, once a second each, and tells their calls what remains."""

    def __init__(
        self,
        rooms: RoomReader,
        running: RunningCalls,
        outbox: Outbox,
        *,
        order: Callable[[RunningCall, Reason], None],
    ) -> None:
        self._rooms = rooms
        self._running = running
        self._outbox = outbox
        self._order = order
        # When tenants were last looked at, by the loop's time.
        self._looked_at: dict[str, float] = {}
        self._heard: dict[str, Heard] = {}
        # Tenants whose money came in since they were last looked at.
        self._topped_up: set[str] = set()
        # Calls whose grant is the last one, as things are.
        self._warned: set[tuple[str, str]] = set()

    def hear(self, batch: Batch) -> None:
        """Take over that a tenant's money may have moved."""
        self._running.moved.add(batch.tenant_id)
        first_n, last_n = batch.movements[0].entry.n, batch.movements[-1].entry.n
        heard = self._heard.setdefault(batch.tenant_id, Heard(first_n, last_n))
        heard.last_n = max(heard.last_n, last_n)
        if any(movement.kind in {"topped_up", "limit_set"} for movement in batch.movements):
            self._topped_up.add(batch.tenant_id)

    def miss(self, tenant_id: str) -> None:
        """Take over that anything of a tenant may have moved, unheard."""
        self._running.moved.add(tenant_id)
        self._heard[tenant_id] = Heard(0, sys.maxsize)
        self._topped_up.add(tenant_id)

    def due_at(self, now: float) -> float:
        """Say when the next account is to be looked at, by the loop's time."""
        return min(map(self._due_at, self._running.moved), default=now + ESTIMATE_SECONDS)

    async def look(self, now: float) -> None:
        """Look at the accounts that are due. Raises `LedgerError`."""
        for tenant_id in [one for one in self._running.moved if self._due_at(one) <= now]:
            self._looked_at[tenant_id] = now
            try:
                with suppress(AccountUnknown):
                    await self._look_at(tenant_id)
            except LedgerError:
                self.miss(tenant_id)
                raise

    def order_the_last(self, now_ms: int) -> None:
        """Order the end of answered calls whose last grant is used up."""
        for tenant_id, call_id in list(self._warned):
            call = self._running.find(tenant_id, call_id)
            if call is None or not call.is_warned or call.is_ordered:
                self._warned.discard((tenant_id, call_id))
            elif call.used_seconds and call.granted_until_ms <= now_ms:
                self._order(call, _last_reason(read_purses(call.purses_text)))

    def _due_at(self, tenant_id: str) -> float:
        return self._looked_at.get(tenant_id, -ESTIMATE_SECONDS) + ESTIMATE_SECONDS

    async def _look_at(self, tenant_id: str) -> None:
        self._running.moved.discard(tenant_id)
        heard = self._heard.pop(tenant_id, _NOTHING)
        topped_up = tenant_id in self._topped_up
        self._topped_up.discard(tenant_id)
        calls = [(call, read_purses(call.purses_text)) for call in self._running.of(tenant_id)]
        if not calls:
            return
        every = (purse for _, kept in calls for purse in kept.purses)
        rooms = await self._rooms.read(tenant_id, every)
        for count, (call, kept) in enumerate(calls, 1):
            seconds = remaining_seconds(kept, call.granted, rooms)
            self._warn(call, seconds, topped_up=topped_up)
            self._tell(call, MAX_SECONDS if seconds is None else seconds, rooms.n, heard=heard)
            if rooms.is_frozen:
                self._order(call, Reason.ACCOUNT_FROZEN)
            if count % CALLS_A_TURN == 0:
                await asyncio.sleep(0)

    def _warn(self, call: RunningCall, seconds: int | None, *, topped_up: bool) -> None:
        key, was_warned = (call.tenant_id, call.call_id), call.is_warned
        call.is_warned = seconds == 0
        if call.is_warned:
            self._warned.add(key)
        if call.is_warned and not was_warned:
            self._outbox.push(warning_item(*key, call.granted_seconds), *key)
        if was_warned and not call.is_warned and topped_up:
            self._outbox.push(_deadline(call), *key)

    def _tell(self, call: RunningCall, seconds: int, read_n: int, *, heard: Heard) -> None:
        """Tell what remains as of entry `read_n`, where it is news."""
        before, was_fresh = call.told_seconds, call.is_fresh
        call.is_fresh = False
        if was_fresh and heard.last_n <= call.n:
            # Entries up to what was read may still tell that others moved it, too.
            call.told_seconds, call.silent_n = seconds, read_n
            return
        if seconds == MAX_SECONDS and before in {None, MAX_SECONDS}:
            call.told_seconds = seconds
            return
        others_moved_it = was_fresh or before is None or heard.first_n <= call.silent_n
        if others_moved_it or abs(seconds - (before or 0)) * _MOVED_TENTHS >= max(before or 0, 1):
            call.told_seconds, call.silent_n = seconds, NOT_SILENT
            self._outbox.push(
                estimate_item(call.tenant_id, call.call_id, seconds), call.tenant_id, call.call_id
            )


def _deadline(call: RunningCall) -> pb.ControlItem:
    deadline = Deadline(
        call.granted_seconds, call.report_by_ms, final=False, sequence=call.sequence
    )
    return deadline_item(call.tenant_id, call.call_id, deadline)


def _last_reason(kept: KeptPurses) -> Reason:
    _, last = kept.paying()[-1]
    assert not isinstance(last, FreePurse), "a call that is free has no end"
    return last.exhausted_reason
