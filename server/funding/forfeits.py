"""Lots that were forfeited before their time, because a clock was wrong; and giving them back."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from server.archive import tables
from server.funding.applying import Kind
from server.funding.errors import FundingRefused, Why
from server.funding.request_rows import of_reference
from server.funding.requests import Asked, FundingRequests
from server.funding.statement import entry_of
from server.ledger.journal import Movement

_DIGEST_DIGITS, _ID_BYTES = 32, 12


@dataclass(frozen=True, slots=True)
class Forfeit:
    """What a lot lost before it was due, and was not given back yet."""

    tenant_id: str
    lot_id: str
    micros: int
    expire_ms: int


def early_forfeits(connection: Connection, now_ms: int) -> list[Forfeit]:
    """List what is lost of lots that are not due yet, by tenant."""
    lots = tables.LOTS.c
    query = (
        select(lots.tenant_id)
        .where(lots.expire_ms > now_ms, lots.left_micros < lots.micros)
        .distinct()
        .order_by(lots.tenant_id)
    )
    tenants = list(connection.scalars(query))
    return [each for tenant_id in tenants for each in forfeits_of(connection, tenant_id, now_ms)]


def forfeits_of(connection: Connection, tenant_id: str, now_ms: int) -> Iterator[Forfeit]:
    """List those of one tenant, the lot that expires first coming first."""
    lots, lost = tables.LOTS.c, _lost(connection, tenant_id)
    query = (
        select(lots.lot_id, lots.expire_ms)
        .where(lots.tenant_id == tenant_id, lots.expire_ms > now_ms)
        .order_by(lots.expire_ms, lots.lot_id)
    )
    for lot_id, expire_ms in connection.execute(query):
        given = sum(
            request.body["micros"]
            for request in of_reference(connection, tenant_id, _reference(lot_id))
        )
        if lost[lot_id] > given:
            yield Forfeit(tenant_id, lot_id, lost[lot_id] - given, expire_ms)


async def give_back(funding_requests: FundingRequests, forfeit: Forfeit, identity_id: str) -> bool:
    """Give a forfeit back as a lot that expires as it should have; False where that was done.

    Raises `FundingRefused` where it cannot be.
    """
    request_id = f"forfeit-{secrets.token_hex(_ID_BYTES)}"

    def settle(connection: Connection, _: Any) -> Mapping[str, Any]:
        # Somebody else may have given it back since.
        found = forfeits_of(connection, forfeit.tenant_id, funding_requests.now_ms())
        if forfeit not in found:
            raise FundingRefused(Why.LOT_UNKNOWN, f"Lot {forfeit.lot_id} was given back.")
        return {
            "lot_id": f"given_back:{request_id}",
            "micros": forfeit.micros,
            "expire_ms": forfeit.expire_ms,
        }

    asked = Asked(
        tenant_id=forfeit.tenant_id,
        request_id=request_id,
        kind=Kind.TOP_UP,
        identity_id=identity_id,
        content={"of": forfeit.lot_id, "micros": str(forfeit.micros)},
        settle=settle,
        reference=_reference(forfeit.lot_id),
    )
    try:
        await funding_requests.ask(asked)
    except FundingRefused as refused:
        if refused.why is not Why.LOT_UNKNOWN:
            raise
        return False
    return True


def _lost(connection: Connection, tenant_id: str) -> Counter[str]:
    """Add up what each lot lost because it expired."""
    journal = tables.JOURNAL.c
    query = select(tables.JOURNAL).where(
        journal.tenant_id == tenant_id, journal.kind == "lots_expired"
    )
    lost: Counter[str] = Counter()
    for row in connection.execute(query).mappings():
        for lot_id, micros, is_voided in Movement(entry_of(row)).taken:
            lost[lot_id] += 0 if is_voided else micros
    return lost


def _reference(lot_id: str) -> str:
    return f"forfeit:{_digest(lot_id)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_DIGITS]
