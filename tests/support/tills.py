"""All that moves money in, on a house of a real store and a real archive, with a clock to set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from keepers import House, drained
from server.funding.applying import Kind
from server.funding.auto_recharge import Burst, Recharging
from server.funding.charge_rows import ChargeRow, list_charges
from server.funding.charging import BackOff, Charging
from server.funding.funding_rows import FundingRow, hold_funding, read_funding, save_funding
from server.funding.providers import Payments
from server.funding.providers.simulated import Rehearsal
from server.funding.purchase_rules import PurchaseRules, require_purchase
from server.funding.request_rows import FundingRequest
from server.funding.requests import Asked, FundingRequests
from server.funding.reversing import Reversing
from server.funding.unfinished import Finishing
from server.ledger import DirectDebit, TopUp
from server.notices.tables import NOTICES
from server.storage.sql.audit import AuditTrail
from server.transport.http import WebhookKey

UNIT = 1_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
TENANT = "contoso"
KEY = WebhookKey(b"a secret of twenty-four bytes")
BURST = Burst()
RULES = PurchaseRules(least_micros=UNIT, max_balance_micros=1_000 * UNIT)


@dataclass(slots=True)
class Till:
    """One process's share of moving money in; several may stand on one house."""

    house: House
    payments: Payments = field(default_factory=lambda: Rehearsal(KEY))
    rules: PurchaseRules = RULES
    burst: Burst = BURST

    @property
    def funding_requests(self) -> FundingRequests:
        return FundingRequests(
            self.house.archive.database,
            self.house.ledger,
            AuditTrail(self.house.clock.now_ms),
            self.house.clock.now_ms,
        )

    @property
    def charging(self) -> Charging:
        return Charging(
            self.house.archive.database,
            self.house.ledger,
            self.payments,
            self.house.clock.now_ms,
            BackOff(HOUR_MS, 4 * HOUR_MS),
        )

    @property
    def recharging(self) -> Recharging:
        return Recharging(
            self.house.archive.database,
            self.charging,
            self.house.clock.now_ms,
            self.rules,
            self.burst,
        )

    @property
    def finishing(self) -> Finishing:
        return Finishing(
            self.house.archive.database,
            self.funding_requests,
            self.house.ledger,
            self.house.clock.now_ms,
        )

    @property
    def reversing(self) -> Reversing:
        return Reversing(
            self.house.archive.database, self.funding_requests, self.house.clock.now_ms
        )

    async def set_up(self, **changes: Any) -> None:
        """Write how the tenant buys credits: recharges of 20 below 10, unless told otherwise."""
        values = {
            "country": "US",
            "recharge_enabled": True,
            "trigger_micros": 10 * UNIT,
            "amount_micros": 20 * UNIT,
            "payment_customer": "pays",
        } | changes

        def work(connection: Any) -> None:
            row = hold_funding(connection, TENANT)
            for name, value in values.items():
                setattr(row, name, value)
            save_funding(connection, row)

        await self.house.archive.database.write(work)

    async def fund(self, micros: int, lot_id: str = "first") -> None:
        """Put money into the account, by the ledger alone, and let it be archived."""
        expire_ms = self.house.clock.now_ms() + 365 * DAY_MS
        await self.house.ledger.top_up(TopUp(TENANT, lot_id, micros, expire_ms))
        await drained(self.house)

    async def spend(self, micros: int, debit_id: str) -> None:
        """Take money out of the account and let that be archived."""
        await self.house.ledger.debit(DirectDebit(TENANT, debit_id, micros))
        await drained(self.house)

    async def top_up(self, request_id: str, micros: int, **changes: Any) -> FundingRequest:
        """Ask for a top-up as the service does."""
        asked = a_top_up(request_id, micros, **changes)
        return await self.funding_requests.purchase(
            asked,
            lambda row, balance: require_purchase(
                row, micros, balance, currency="USD", rules=self.rules
            ),
        )

    async def work(self) -> None:
        """Archive what waits, then do one round of all duties."""
        await drained(self.house)
        await self.recharging.work()
        await self.reversing.work()
        await self.finishing.work()
        await drained(self.house)

    async def balance(self) -> int:
        """Read what is not spent yet."""
        return (await self.house.balance()).balance_micros or 0

    async def charges(self) -> list[ChargeRow]:
        """List all charges, the oldest first."""
        found = await self.house.archive.database.read(
            lambda c: list_charges(c, TENANT, limit=1_000)
        )
        return found[::-1]

    async def funding(self) -> FundingRow:
        return await self.house.archive.database.read(lambda c: read_funding(c, TENANT))

    async def notices(self) -> list[tuple[str, str]]:
        """List what was to be told, kind and key, in order of time."""
        query = select(NOTICES.c.kind, NOTICES.c.crossing_key).order_by(NOTICES.c.time_ms)
        return await self.house.archive.database.read(
            lambda c: [(row[0], row[1]) for row in c.execute(query)]
        )


def a_top_up(request_id: str, micros: int, **changes: Any) -> Asked:
    """Build the request for a top-up."""
    body: Mapping[str, Any] = {
        "lot_id": f"top_up:{request_id}",
        "micros": micros,
        "expire_ms": 2_000_000_000_000,
    }
    fields: dict[str, Any] = {
        "tenant_id": TENANT,
        "request_id": request_id,
        "kind": Kind.TOP_UP,
        "identity_id": "anybody",
        "content": {"micros": str(micros)},
        "settle": lambda connection, row: body,
    }
    return Asked(**(fields | changes))
