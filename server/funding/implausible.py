"""Use that was held apart, because it cannot have passed: telling, charging and waiving it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from policy.rating import price_micros
from server.archive import tables
from server.archive.book import read_call
from server.archive.changes import CallState
from server.funding.applying import Kind
from server.funding.requests import Asked, FundingRequests
from server.storage.sql.audit import Audited
from server.storage.sql.rows import plain_row

_DIGEST_DIGITS = 32
# Of a call that runs the next report may say less.
_OVER = [state.value for state in CallState if state.is_over]


@dataclass(frozen=True, slots=True)
class HeldUse:
    """What was reported of a call and not believed, until somebody settles it.

    `micros` is what credits would cost for it at the rate of the call; 0 where none paid.
    """

    tenant_id: str
    opened_id: str
    gateway_id: str
    call_id: str
    seconds: int
    micros: int


def held_use(connection: Connection) -> Iterator[HeldUse]:
    """List what is held apart of calls that are over, by tenant."""
    calls = tables.CALLS.c
    query = (
        select(tables.CALLS)
        .where(calls.implausible_seconds > 0, calls.state.in_(_OVER))
        .order_by(calls.tenant_id, calls.opened_id)
    )
    for row in connection.execute(query).mappings():
        call = read_call(plain_row(row))
        micros, uses = 0, tables.CALL_USES.c
        for index, purse in enumerate(call.facts.purses):
            if purse.rate is not None:
                paid = connection.scalar(
                    select(uses.seconds).where(
                        uses.tenant_id == call.tenant_id,
                        uses.opened_id == call.opened_id,
                        uses.part == call.part,
                        uses.purse_index == index,
                    )
                )
                had = paid or 0
                micros = price_micros(purse.rate, had + call.implausible_seconds)
                micros -= price_micros(purse.rate, had)
        yield HeldUse(
            call.tenant_id,
            call.opened_id,
            call.gateway_id,
            call.call_id,
            call.implausible_seconds,
            micros,
        )


async def charge(funding_requests: FundingRequests, held: HeldUse, identity_id: str) -> None:
    """Debit what is held apart, once. Raises what asking for a debit does, `FundingRefused` say."""
    digest = hashlib.sha256(held.opened_id.encode()).hexdigest()[:_DIGEST_DIGITS]
    request_id = f"implausible-{digest}"
    body = {"debit_id": f"debit:{request_id}", "micros": held.micros, "overdraft_micros": 0}
    asked = Asked(
        tenant_id=held.tenant_id,
        request_id=request_id,
        kind=Kind.DEBIT,
        identity_id=identity_id,
        content={"of": held.opened_id, "micros": str(held.micros)},
        settle=lambda *_: body,
    )
    if held.micros:
        await funding_requests.ask(asked)
    await _Settling(funding_requests, held, "ChargeImplausibleUse").write(identity_id)


async def waive(funding_requests: FundingRequests, held: HeldUse, identity_id: str) -> None:
    """Forget what is held apart; nothing is debited."""
    await _Settling(funding_requests, held, "WaiveImplausibleUse").write(identity_id)


@dataclass(frozen=True, slots=True)
class _Settling:
    """Takes held use off its call, and writes down who did so."""

    funding_requests: FundingRequests
    held: HeldUse
    action: str

    async def write(self, identity_id: str) -> None:
        await self.funding_requests.database.write(lambda c: self._write(c, identity_id))

    def _write(self, connection: Connection, identity_id: str) -> None:
        held, calls = self.held, tables.CALLS.c
        query = (
            update(tables.CALLS)
            .where(
                calls.tenant_id == held.tenant_id,
                calls.opened_id == held.opened_id,
                calls.implausible_seconds == held.seconds,
            )
            .values(implausible_seconds=0)
        )
        if connection.execute(query).rowcount:
            path = f"tenants/{held.tenant_id}/calls/{held.opened_id}"
            before = {"implausible_seconds": held.seconds, "micros": held.micros}
            what = Audited(self.action, path, held.tenant_id)
            audit = self.funding_requests.audit
            audit.record(connection, identity_id, what, before=before, after=None)
