"""The provider for tests and demonstrations: no money moves, and each customer's name says how.

A customer "declines" is declined, and so on; see `Behaviour`. It remembers every charge by its id,
as a real provider does, and tells of it by signed events, which whoever rehearses carries over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from typing_extensions import override

from server.funding.providers import (
    Charge,
    Charged,
    Declined,
    PaymentEvent,
    Payments,
    PaymentsUnavailable,
    Pending,
    Result,
    Reversal,
    ReversalKind,
    unpayable,
)
from server.funding.providers.billing import event_body, read_billing_event
from server.funding.providers.minor_units import ISO_4217
from server.transport.http import WebhookKey

SLOW_SECONDS = 0.05


class Behaviour(StrEnum):
    """How a customer's charges go, by the customer's name; any other name pays at once."""

    PAYS = "pays"
    DECLINES = "declines"
    # The answer takes its time.
    SLOW = "slow"
    # The money is taken, the first answer is lost on its way.
    LOSES_REPLY = "loses-reply"
    # The event comes twice.
    TWICE = "twice"
    # Events come before the answer, the later one first.
    OUT_OF_ORDER = "out-of-order"
    # Pays, and takes all of it back later.
    TAKES_BACK = "takes-back"


@dataclass(slots=True)
class Rehearsal(Payments):
    """Remembers charges by id. `events` are told and not yet carried over: headers and body."""

    key: WebhookKey
    taken: dict[str, Charge] = field(default_factory=dict)
    events: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    asked: int = 0
    now_ms: int = 0

    @override
    async def charge(self, charge: Charge) -> Result:
        """Take what was not taken yet, as the customer's name says."""
        self.asked += 1
        declined = unpayable(charge, ISO_4217)
        if declined is not None:
            return declined
        known = self.taken.get(charge.charge_id)
        if known is not None and known != charge:
            return Declined("idempotency_conflict", "the id stands for another charge")
        if charge.customer == Behaviour.DECLINES:
            self._tell(charge, Declined("card_declined", "the card has expired"))
            return Declined("card_declined", "the card has expired")
        self.taken[charge.charge_id] = charge
        if known is None:
            return await self._first_time(charge)
        return _charged(charge)

    @override
    def read_event(self, body: bytes, headers: Mapping[str, str], now_ms: int) -> PaymentEvent:
        """Believe an event that was signed with the key."""
        return read_billing_event(self.key, body, headers, now_ms=now_ms)

    async def _first_time(self, charge: Charge) -> Result:
        match charge.customer:
            case Behaviour.SLOW:
                await asyncio.sleep(SLOW_SECONDS)
            case Behaviour.LOSES_REPLY:
                raise PaymentsUnavailable("the answer was lost")
            case Behaviour.TWICE:
                self._tell(charge, _charged(charge), times=2)
            case Behaviour.OUT_OF_ORDER:
                self._tell(charge, _charged(charge))
                self._tell(charge, Pending(_charged(charge).reference))
            case Behaviour.TAKES_BACK:
                reversal = Reversal(ReversalKind.TAKEN, "dispute", charge.micros, charge.currency)
                self._tell(charge, reversal)
        return _charged(charge)

    def _tell(self, charge: Charge, result: Result | Reversal, *, times: int = 1) -> None:
        body = event_body(charge.charge_id, result)
        event_id = f"evt-{charge.charge_id}-{type(result).__name__}"
        headers = self.key.sign(event_id, body, now_ms=self.now_ms)
        self.events += [(headers, body)] * times


def _charged(charge: Charge) -> Charged:
    return Charged(f"rehearsal-{charge.charge_id}", charge.micros, charge.currency)
