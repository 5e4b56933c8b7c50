"""Attempts to take money from a tenant's means of payment, step by step and each step once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from server.funding.tables import CHARGES

RECHARGE, TOP_UP = "recharge", "top_up"


@dataclass(slots=True)
class ChargeRow:
    """One attempt. `charge_id` is the provider's idempotency key; see the table."""

    charge_id: str
    tenant_id: str
    purpose: str
    state: ChargeState
    micros: int
    currency: str
    payment_customer: str
    expire_ms: int
    create_ms: int
    crossing: int | None = None
    attempt: int | None = None
    provider_reference: str = ""
    reason: str = ""
    detail: str = ""
    tries: int = 0
    next_try_ms: int = 0
    finish_ms: int = 0
    archived: bool = False
    reversed_micros: int = 0
    shortfall_micros: int = 0

    @property
    def lot_id(self) -> str:
        """The lot that the money becomes."""
        return f"{self.purpose}:{self.charge_id}"


_CHARGES = CHARGES.c
_DETAIL_CHARACTERS = 255


def add_charge(connection: Connection, charge: ChargeRow) -> None:
    """Write a new attempt down, before the provider hears of it."""
    connection.execute(insert(CHARGES), _values(charge))


def find_charge(connection: Connection, charge_id: str, *, hold: bool = False) -> ChargeRow | None:
    """Find an attempt; held until the transaction ends, if asked."""
    query = select(CHARGES).where(_CHARGES.charge_id == charge_id)
    found = connection.execute(query.with_for_update() if hold else query).mappings().first()
    return None if found is None else _read(found)


def find_charge_of(connection: Connection, charge_id: str, reference: str) -> ChargeRow | None:
    """Find an attempt by its id, or else by what the provider calls it."""
    if charge_id:
        return find_charge(connection, charge_id)
    if not reference:
        return None
    query = select(CHARGES).where(_CHARGES.provider_reference == reference).limit(1)
    found = connection.execute(query).mappings().first()
    return None if found is None else _read(found)


def save_charge(connection: Connection, charge: ChargeRow) -> None:
    """Write an attempt that is held."""
    charge.detail = charge.detail[:_DETAIL_CHARACTERS]
    connection.execute(
        update(CHARGES).where(_CHARGES.charge_id == charge.charge_id).values(**_values(charge))
    )


def has_charge_in_flight(connection: Connection, tenant_id: str) -> bool:
    """Say whether some money of a tenant's may be under way."""
    query = select(_CHARGES.charge_id).where(
        _CHARGES.tenant_id == tenant_id, _CHARGES.state.in_(IN_FLIGHT)
    )
    return connection.execute(query.limit(1)).first() is not None


def pending_charges(connection: Connection, tenant_id: str) -> int:
    """Sum up what is under way for a tenant and not in the ledger yet, in micros."""
    query = select(func.coalesce(func.sum(_CHARGES.micros), 0)).where(
        _CHARGES.tenant_id == tenant_id, _CHARGES.state.in_(IN_FLIGHT)
    )
    return int(connection.scalar(query) or 0)


def last_attempt(connection: Connection, tenant_id: str, crossing: int) -> int:
    """Say how often this crossing was tried."""
    query = select(func.max(_CHARGES.attempt)).where(
        _CHARGES.tenant_id == tenant_id, _CHARGES.crossing == crossing
    )
    return connection.scalar(query) or 0


def recharged_since(connection: Connection, tenant_id: str, since_ms: int) -> list[tuple[int, int]]:
    """List recharges since a time that took money, or may have: when, and how much."""
    query = (
        select(_CHARGES.create_ms, _CHARGES.micros)
        .where(
            _CHARGES.tenant_id == tenant_id,
            _CHARGES.purpose == RECHARGE,
            _CHARGES.state.in_(COUNTED),
            _CHARGES.create_ms >= since_ms,
        )
        .order_by(_CHARGES.create_ms)
    )
    return [(row[0], row[1]) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How recharges went: how long each took from its first attempt on, and what was declined."""

    times_ms: list[int]
    declined: int


def read_arrivals(connection: Connection, tenant_id: str, since_ms: int) -> Arrivals:
    """Read how the recharges went that began since a time."""
    query = (
        select(_CHARGES.crossing, _CHARGES.state, _CHARGES.create_ms, _CHARGES.finish_ms)
        .where(
            _CHARGES.tenant_id == tenant_id,
            _CHARGES.purpose == RECHARGE,
            _CHARGES.create_ms >= since_ms,
        )
        .order_by(_CHARGES.create_ms)
    )
    began: dict[int, int] = {}
    times_ms: list[int] = []
    declined = 0
    for crossing, state, create_ms, finish_ms in connection.execute(query):
        first_ms = began.setdefault(crossing, create_ms)
        declined += state == ChargeState.DECLINED
        if state == ChargeState.CREDITED:
            times_ms.append(finish_ms - first_ms)
    return Arrivals(times_ms, declined)


def charges_to_go_on_with(connection: Connection, now_ms: int, *, limit: int) -> list[str]:
    """List attempts on which nobody works, the oldest first."""
    going = (ChargeState.INTENT.value, ChargeState.CHARGING.value, ChargeState.CHARGED.value)
    query = (
        select(_CHARGES.charge_id)
        .where(_CHARGES.state.in_(going), _CHARGES.next_try_ms <= now_ms)
        .order_by(_CHARGES.create_ms)
        .limit(limit)
    )
    return list(connection.scalars(query))


def credited_not_archived(
    connection: Connection, before_ms: int, *, now_ms: int, limit: int
) -> list[ChargeRow]:
    """List attempts that were credited before a time and are not known to be archived."""
    query = (
        select(CHARGES)
        .where(
            ~_CHARGES.archived,
            _CHARGES.state == ChargeState.CREDITED.value,
            _CHARGES.finish_ms <= before_ms,
            _CHARGES.next_try_ms <= now_ms,
        )
        .order_by(_CHARGES.finish_ms)
        .limit(limit)
    )
    return list(map(_read, connection.execute(query).mappings()))


def list_charges(connection: Connection, tenant_id: str, *, limit: int) -> list[ChargeRow]:
    """List attempts of a tenant, the newest first."""
    query = (
        select(CHARGES)
        .where(_CHARGES.tenant_id == tenant_id)
        .order_by(
            *(_CHARGES.create_ms.desc(), _CHARGES.crossing.desc(), _CHARGES.attempt.desc()),
            _CHARGES.charge_id.desc(),
        )
        .limit(limit)
    )
    return list(map(_read, connection.execute(query).mappings()))


def _values(charge: ChargeRow) -> dict[str, Any]:
    return {name: getattr(charge, name) for name in ChargeRow.__slots__} | {
        "state": charge.state.value
    }


def _read(found: Mapping[Any, Any]) -> ChargeRow:
    values = {str(name): value for name, value in found.items()}
    values["state"] = ChargeState(values["state"])
    return ChargeRow(**values)


class ChargeState(StrEnum):
    """The states of a charge: the first four follow each other, the others end it.

    Only `CREDITED` is the end for good: a provider that says later that it took the money after
    all is believed, and the money is credited.
    """

    INTENT = "intent"
    CHARGING = "charging"
    CHARGED = "charged"
    CREDITED = "credited"
    DECLINED = "declined"
    # We never asked: a rule of ours forbade it.
    REFUSED = "refused"
    # Nobody can tell whether the money was taken; an operator has to look.
    UNRESOLVED = "unresolved"


# While one of these is there, no other recharge of the tenant begins.
IN_FLIGHT = (
    *(ChargeState.INTENT.value, ChargeState.CHARGING.value),
    *(ChargeState.CHARGED.value, ChargeState.UNRESOLVED.value),
)
# What these took, or may have taken, counts against limits.
COUNTED = (*IN_FLIGHT, ChargeState.CREDITED.value)
