"""What the journal tells one stream: debits, deadlines, estimates, warnings and orders to end."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass

from callgate.v1 import authorization_pb2 as pb
from policy.admission import admit
from policy.decision import Reason, Refusal
from policy.facts import Facts, Tenant
from server.control.outbox import Outbox
from server.control.running import RunningCall, RunningCalls
from server.decider import Decider
from server.errors import FactsBehind
from server.journal import (
    CALL_KINDS,
    Batch,
    EpochEnded,
    FollowerTooSlow,
    Movement,
    Place,
    Tailer,
    TailerStopped,
)
from server.ledger import AccountUnknown, LedgerError
from server.ledger.keys import partition_of
from server.ledger.rooms import RoomReader, Rooms, Source, read_sources, remaining_seconds
from server.translation.advice import Advice
from server.translation.context import call_again, unpack
from server.translation.control import (
    Deadline,
    Debit,
    Hello,
    deadline_item,
    debit_item,
    end_item,
    estimate_item,
    warning_item,
)
from server.translation.cursor import cursor_of

# What remains is worked out at most this often for one account.
ESTIMATE_SECONDS = 1.0
RETRY_SECONDS = 1.0
# An estimate is sent where it moved by a tenth or more.
MOVED_TENTHS = 10
# Between two turns of the loop: so many calls are asked the rules about, or are estimated.
_CALLS_A_TURN = 100

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Following:
    """What every stream follows the journal with."""

    tailer: Tailer
    rooms: RoomReader
    decider: Decider
    advice: Advice


class Follow:
    """Follows the tenants of one stream and pushes what concerns its calls."""

    def __init__(
        self, following: Following, hello: Hello, running: RunningCalls, *, outbox: Outbox
    ) -> None:
        self._following = following
        self._hello = hello
        self._running = running
        self._outbox = outbox
        # When tenants were last estimated, by the loop's time.
        self._estimated_at: dict[str, float] = {}
        # Calls whose grant is the last one, as things are.
        self._warned: set[tuple[str, str]] = set()
        # Tenants whose money came in since they were last estimated.
        self._topped_up: set[str] = set()
        # By which facts the rules were asked last about the calls of each tenant, and when it was
        # looked whether these are still the ones in use.
        self._asked: dict[str, str] = {}
        self._looked_at = -ESTIMATE_SECONDS
        # Set once all that moves from then on is heard.
        self.joined = asyncio.Event()

    async def run(self) -> None:
        """Push until the process is about to end. Raises `BridgeTooSlow`."""
        while True:
            try:
                await self._follow()
            except TailerStopped:
                return
            except (LedgerError, EpochEnded, FollowerTooSlow) as error:
                # What is pushed is how things stand, so that nothing has to be made up for.
                _log.debug("The stream of %s follows anew: %s", self._hello.gateway_id, error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        follower = self._following.tailer.follower(f"bridge {self._hello.gateway_id}")
        try:
            for tenant_id in self._hello.tenant_ids:
                with suppress(AccountUnknown):
                    await follower.join(tenant_id)
            self.joined.set()
            while True:
                batch = await follower.next(ESTIMATE_SECONDS)
                if batch is not None:
                    await self._take(batch)
                await self._look_at_facts()
                await self._estimate()
                self._order_the_last()
        finally:
            follower.leave()

    # --- What happened ----------------------------------------------------------------------

    async def _take(self, batch: Batch) -> None:
        self._running.moved.add(batch.tenant_id)
        for movement in batch.movements:
            if movement.kind in CALL_KINDS:
                if movement.gateway_id == self._hello.gateway_id:
                    self._take_call(movement)
            elif movement.kind in {"topped_up", "limit_set"}:
                self._topped_up.add(batch.tenant_id)
            elif movement.kind == "described":
                await self._ask_rules(batch.tenant_id, movement.fields["digest"])
            elif movement.kind == "frozen" and movement.fields["frozen"] == "1":
                for call in self._running.of(batch.tenant_id):
                    self._order(call, Reason.ACCOUNT_FROZEN)

    def _take_call(self, movement: Movement) -> None:
        self._running.move(movement)
        if not any(move.debited_seconds or move.debited_micros for move in movement.moves):
            return
        entry = movement.entry
        place = Place(partition_of(movement.tenant_id), entry.epoch, entry.n, entry.nonce)
        debit = Debit(
            movement.tenant_id,
            movement.call_id,
            tuple(use for _, use in movement.uses),
            movement.context,
            movement.available_micros,
            cursor_of(place),
        )
        self._outbox.push(debit_item(debit), movement.tenant_id, movement.call_id)

    async def _ask_rules(self, tenant_id: str, digest: str) -> None:
        """Ask the rules about each running call of a tenant whose facts have changed."""
        decider = self._following.decider
        tenant = decider.facts.current.directory.tenants.get(tenant_id)
        if tenant is None or tenant.digest != digest:
            try:
                tenant = await decider.catching_up.find(tenant_id, digest)
            except FactsBehind:
                # They are looked for meanwhile, and seen when they are in use.
                return
        await self._ask_rules_of(tenant)

    async def _look_at_facts(self) -> None:
        """Ask the rules by facts that came into use without a word of the journal's, or too late.

        Once a second: the journal, where it is followed, tells of others at once.
        """
        now = asyncio.get_running_loop().time()
        if now - self._looked_at < ESTIMATE_SECONDS:
            return
        self._looked_at = now
        tenants = self._following.decider.facts.current.directory.tenants
        for tenant_id in self._hello.tenant_ids:
            tenant = tenants.get(tenant_id)
            if tenant is not None and tenant.digest != self._asked.get(tenant_id):
                await self._ask_rules_of(tenant)

    async def _ask_rules_of(self, tenant: Tenant) -> None:
        tenant_id = tenant.tenant_id
        self._asked[tenant_id] = tenant.digest
        for count, call in enumerate(self._running.of(tenant_id), 1):
            reason = self._objection(call, tenant)
            if reason is not None:
                self._order(call, reason)
            if count % _CALLS_A_TURN == 0:
                await asyncio.sleep(0)

    def _objection(self, call: RunningCall, tenant: Tenant) -> Reason | None:
        decider = self._following.decider
        asked = call_again(tenant.tenant_id, unpack(call.context))
        facts = Facts(decider.facts.current.catalogue, tenant)
        verdict = admit(asked, facts, decider.now_ms())
        return verdict.reason if isinstance(verdict, Refusal) else None

    def _order(self, call: RunningCall, reason: Reason) -> None:
        if call.is_ordered:
            return
        call.is_ordered = True
        item = end_item(call.tenant_id, call.call_id, reason, advice=self._following.advice)
        self._outbox.push(item, call.tenant_id, call.call_id)

    # --- What remains -----------------------------------------------------------------------

    async def _estimate(self) -> None:
        """Estimate what remains for the calls of accounts that moved, once a second each."""
        now = asyncio.get_running_loop().time()
        due = [
            tenant_id
            for tenant_id in self._running.moved
            if now - self._estimated_at.get(tenant_id, -ESTIMATE_SECONDS) >= ESTIMATE_SECONDS
        ]
        for tenant_id in due:
            self._running.moved.discard(tenant_id)
            self._estimated_at[tenant_id] = now
            calls = [(call, read_sources(call.purses_text)) for call in self._running.of(tenant_id)]
            if calls:
                every = (source for _, sources in calls for source in sources)
                rooms = await self._following.rooms.read(tenant_id, every)
                await self._tell(calls, rooms, topped_up=tenant_id in self._topped_up)
            self._topped_up.discard(tenant_id)

    async def _tell(
        self,
        calls: list[tuple[RunningCall, tuple[Source, ...]]],
        rooms: Rooms,
        *,
        topped_up: bool,
    ) -> None:
        for count, (call, sources) in enumerate(calls, 1):
            seconds = remaining_seconds(sources, call.granted, rooms)
            self._tell_call(call, seconds, topped_up=topped_up)
            if count % _CALLS_A_TURN == 0:
                await asyncio.sleep(0)

    def _tell_call(self, call: RunningCall, seconds: int | None, *, topped_up: bool) -> None:
        before, was_warned = call.told_seconds, call.is_warned
        key = call.tenant_id, call.call_id
        call.is_warned = seconds == 0
        if call.is_warned:
            self._warned.add(key)
        if call.is_warned and not was_warned:
            self._outbox.push(warning_item(*key, call.granted_seconds), *key)
        if was_warned and not call.is_warned and topped_up:
            self._outbox.push(self._deadline(call), *key)
        if call.is_fresh or before is None or seconds is None:
            call.told_seconds, call.is_fresh = seconds, False
        elif abs(seconds - before) * MOVED_TENTHS >= max(before, 1):
            call.told_seconds = seconds
            self._outbox.push(estimate_item(*key, seconds), *key)

    def _deadline(self, call: RunningCall) -> pb.ControlItem:
        deadline = Deadline(
            call.granted_seconds, call.report_by_ms, final=False, sequence=call.sequence
        )
        return deadline_item(call.tenant_id, call.call_id, deadline)

    def _order_the_last(self) -> None:
        """Order the end of answered calls whose last grant is used up."""
        if not self._warned:
            return
        now_ms = self._following.decider.now_ms()
        for tenant_id, call_id in list(self._warned):
            call = self._running.find(tenant_id, call_id)
            if call is None or not call.is_warned or call.is_ordered:
                self._warned.discard((tenant_id, call_id))
            elif call.used_seconds and call.granted_until_ms <= now_ms:
                self._order(call, _last_reason(read_sources(call.purses_text)))


def _last_reason(sources: tuple[Source, ...]) -> Reason:
    last = sources[-1]
    assert last is not None, "a call that is free has no end"
    return last.reason
