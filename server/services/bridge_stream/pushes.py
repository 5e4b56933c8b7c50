"""What the journal tells one stream: debits, deadlines, estimates, warnings and orders to end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from policy.admission import admit
from policy.decision import Refusal
from policy.facts import Facts, Tenant
from policy.reasons import Reason
from server.calls.authorize import Authorizer
from server.calls.messages.advice import Advice
from server.facts.errors import FactsBehind
from server.ledger import AccountUnknown, LedgerError, PartitionNotOpen
from server.ledger.decision_context import call_again, unpack
from server.ledger.estimates import RoomReader
from server.ledger.journal import (
    CALL_KINDS,
    Batch,
    EpochEnded,
    Follower,
    FollowerTooSlow,
    Movement,
    Place,
    Tailer,
    TailerStopped,
)
from server.ledger.keys import partition_of
from server.services.bridge_stream.estimates import CALLS_A_TURN, Estimates
from server.services.bridge_stream.known_calls import RunningCall, RunningCalls
from server.services.bridge_stream.messages import Debit, Hello, debit_item, end_item
from server.services.bridge_stream.outbox import Outbox
from server.services.cursor import cursor_of

RETRY_SECONDS = 1.0
# It is looked this often for other facts, and for accounts that are not open yet.
LOOK_SECONDS = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Following:
    """What every stream follows the journal with."""

    tailer: Tailer
    rooms: RoomReader
    authorizer: Authorizer
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
        self._estimates = Estimates(following.rooms, running, outbox, order=self._order)
        # By which facts the rules were asked last about the calls of each tenant.
        self._asked: dict[str, str] = {}
        # When it is looked again for what the journal does not tell, by the loop's time.
        self._look_at = 0.0
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
                _log.debug("The stream of %s follows anew: %s", self._hello.gateway_id, error)
            await asyncio.sleep(RETRY_SECONDS)
            # What is pushed is how things stand: to look at it makes up for what was not heard.
            for tenant_id in self._hello.tenant_ids:
                self._estimates.miss(tenant_id)

    async def _follow(self) -> None:
        follower = self._following.tailer.follower(f"bridge {self._hello.gateway_id}")
        now = asyncio.get_running_loop().time
        try:
            unopened = await self._join(follower, self._hello.tenant_ids)
            self.joined.set()
            while True:
                wake_at = min(self._look_at, self._estimates.due_at(now()))
                batch = await follower.next(max(0.0, wake_at - now()))
                if batch is not None:
                    await self._take(batch)
                if self._look_at <= now():
                    self._look_at = now() + LOOK_SECONDS
                    unopened = await self._join(follower, unopened)
                    await self._look_at_facts()
                await self._estimates.look(now())
                self._estimates.order_the_last(self._following.authorizer.now_ms())
        finally:
            follower.leave()

    async def _join(self, follower: Follower, tenant_ids: Iterable[str]) -> list[str]:
        """Follow these tenants; return those that have no account yet."""
        unopened = []
        for tenant_id in tenant_ids:
            try:
                await follower.join(tenant_id)
            except (AccountUnknown, PartitionNotOpen):
                unopened.append(tenant_id)
        return unopened

    # --- What happened ----------------------------------------------------------------------

    async def _take(self, batch: Batch) -> None:
        self._estimates.hear(batch)
        for movement in batch.movements:
            if movement.kind in CALL_KINDS:
                if movement.gateway_id == self._hello.gateway_id:
                    self._take_call(movement)
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
        authorizer = self._following.authorizer
        tenant = authorizer.facts.current.directory.tenants.get(tenant_id)
        if tenant is None or tenant.digest != digest:
            try:
                tenant = await authorizer.catching_up.find(tenant_id, digest)
            except FactsBehind:
                # They are looked for meanwhile, and seen when they are in use.
                return
        await self._ask_rules_of(tenant)

    async def _look_at_facts(self) -> None:
        """Ask the rules by facts that came into use without a word of the journal's, or too late.

        The journal, where it is followed, tells of others at once.
        """
        tenants = self._following.authorizer.facts.current.directory.tenants
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
            if count % CALLS_A_TURN == 0:
                await asyncio.sleep(0)

    def _objection(self, call: RunningCall, tenant: Tenant) -> Reason | None:
        authorizer = self._following.authorizer
        asked = call_again(tenant.tenant_id, unpack(call.context))
        facts = Facts(authorizer.facts.current.catalogue, tenant)
        verdict = admit(asked, facts, authorizer.now_ms())
        return verdict.reason if isinstance(verdict, Refusal) else None

    def _order(self, call: RunningCall, reason: Reason) -> None:
        if call.is_ordered:
            return
        call.is_ordered = True
        item = end_item(call.tenant_id, call.call_id, reason, advice=self._following.advice)
        self._outbox.push(item, call.tenant_id, call.call_id)
