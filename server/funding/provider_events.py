"""What a payment provider tells by itself: believed by its signature, taken once, then credited."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from server.funding.charge_rows import ChargeRow, ChargeState
from server.funding.charging import Charging
from server.funding.providers import EventRefused, PaymentEvent, Payments, Reversal
from server.funding.reversing import Reversing
from server.ledger import LedgerError
from server.notices.outbox import note_event
from server.storage.sql.database import Database
from server.storage.sql.errors import ArchiveUnavailable
from server.transport.http import Posted, Reply
from server.transport.seldom import Seldom

# Where the listener takes them.
PATH = "/payments/events"
_SOURCE = "payments"
_TAKEN, _REFUSED, _AGAIN = 200, 400, 503

_log = logging.getLogger(__name__)
_seldom = Seldom(_log)


@dataclass(frozen=True, slots=True)
class PaymentEvents:
    """Takes events. A provider that is told to come again does so."""

    database: Database
    payments: Payments
    charging: Charging
    reversing: Reversing
    now_ms: Callable[[], int]

    async def take(self, posted: Posted) -> Reply:
        """Take one event; each id once, however often it is posted."""
        try:
            event = self.payments.read_event(posted.body, posted.headers, self.now_ms())
        except EventRefused as error:
            text = "An event of the payment provider is refused: %s"
            _seldom.tell(logging.WARNING, text, error)
            return Reply(_REFUSED, "not believed")
        try:
            if isinstance(event.result, Reversal):
                await self._reverse(event, event.result)
                return Reply(_TAKEN)
            charge = await self.database.write(lambda c: self._note(c, event))
            if charge is not None and charge.state is ChargeState.CHARGED:
                await self.charging.credit(charge)
        except (ArchiveUnavailable, LedgerError) as error:
            # What is noted as charged is credited by a keeper; else the event comes again.
            _log.warning("An event of the payment provider has to wait: %s", error)
            return Reply(_AGAIN, "try again")
        return Reply(_TAKEN)

    async def _reverse(self, event: PaymentEvent, reversal: Reversal) -> None:
        """Write down what was taken back, and do the first step of it; a keeper does the others."""
        charge_id = await self.database.write(lambda c: self.reversing.told(c, event, reversal))
        if charge_id is None:
            return
        try:
            await self.reversing.advance(charge_id)
        except LedgerError as error:
            # It is written down, and a keeper's from here on: nobody has to tell it again.
            _log.warning("What was taken back of charge %s has to wait: %r", charge_id, error)

    def _note(self, connection: Connection, event: PaymentEvent) -> ChargeRow | None:
        if not event.charge_id or event.result is None or isinstance(event.result, Reversal):
            _log.info("An event of the payment provider is of no use here: %s", event.event_id)
            return None
        if not note_event(connection, _SOURCE, event.event_id, now_ms=self.now_ms()):
            return None
        return self.charging.note(connection, event.charge_id, event.result)
