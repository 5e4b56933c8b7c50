"""Money that a provider took back after all: what was told of it, and how much it comes to.

Events come twice, late and in any order, so each is kept as it was told, and the sum is a function
of them all: whoever knows the same events knows the same sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select, update

from server.funding.charge_rows import ChargeRow, ChargeState
from server.funding.providers import ReversalKind
from server.funding.tables import CHARGES, PAYMENT_REVERSALS
from server.storage.sql.rows import insert_once

_REVERSALS = PAYMENT_REVERSALS.c


@dataclass(frozen=True, slots=True)
class ReversalRow:
    """One event; see the table."""

    event_id: str
    charge_id: str
    provider_reference: str
    kind: ReversalKind
    name: str
    micros: int
    currency: str
    time_ms: int
    note_ms: int
    settled: bool = False


def add_reversal(connection: Connection, row: ReversalRow) -> bool:
    """Write down what was told; False where this event was written down before."""
    values = {name: getattr(row, name) for name in ReversalRow.__slots__}
    return insert_once(connection, PAYMENT_REVERSALS, values | {"kind": row.kind.value})


def reversals_of(connection: Connection, charge: ChargeRow) -> list[ReversalRow]:
    """List what was told of one charge."""
    query = select(PAYMENT_REVERSALS).where(_about(charge)).order_by(_REVERSALS.event_id)
    return [_read(row) for row in connection.execute(query).mappings()]


def charges_to_reverse(connection: Connection, *, limit: int) -> list[str]:
    """List credited charges of which more was told than the credits show, the oldest first."""
    charges = CHARGES.c
    named = or_(
        _REVERSALS.charge_id == charges.charge_id,
        and_(
            _REVERSALS.provider_reference != "",
            _REVERSALS.provider_reference == charges.provider_reference,
        ),
    )
    query = (
        select(charges.charge_id)
        .join(PAYMENT_REVERSALS, named)
        .where(~_REVERSALS.settled, charges.state == ChargeState.CREDITED.value)
        .group_by(charges.charge_id, charges.create_ms)
        .order_by(charges.create_ms)
        .limit(limit)
    )
    return list(connection.scalars(query))


def note_settled(connection: Connection, charge: ChargeRow, rows: Iterable[ReversalRow]) -> None:
    """Note that the credits are as these events say."""
    events = [row.event_id for row in rows]
    connection.execute(
        update(PAYMENT_REVERSALS)
        .where(_about(charge), _REVERSALS.event_id.in_(events))
        .values(settled=True)
    )


def forget_strangers(connection: Connection, before_ms: int) -> None:
    """Forget what was told before this time of charges that are not ours."""
    ours = select(CHARGES.c.charge_id).where(
        or_(
            CHARGES.c.charge_id == _REVERSALS.charge_id,
            CHARGES.c.provider_reference == _REVERSALS.provider_reference,
        )
    )
    connection.execute(
        delete(PAYMENT_REVERSALS).where(
            ~_REVERSALS.settled, _REVERSALS.note_ms < before_ms, ~ours.exists()
        )
    )


def taken_back_micros(rows: Iterable[ReversalRow]) -> int:
    """Sum up what the provider has taken back, by all that it told in whichever order."""
    refunds: list[ReversalRow] = []
    failed: dict[str, ReversalRow] = {}
    taken: dict[str, int] = {}
    over: set[str] = set()
    for row in rows:
        match row.kind:
            case ReversalKind.REFUNDED:
                refunds.append(row)
            case ReversalKind.REFUND_FAILED:
                failed[row.name] = row
            case ReversalKind.TAKEN:
                taken[row.name] = max(taken.get(row.name, 0), row.micros)
            case ReversalKind.GIVEN_BACK:
                over.add(row.name)
    # A total of later than a failure does not count the refund that failed: it is added again.
    refunded = max(
        (
            row.micros + sum(each.micros for each in failed.values() if each.time_ms < row.time_ms)
            for row in refunds
        ),
        default=0,
    )
    refunded = max(0, refunded - sum(each.micros for each in failed.values()))
    return refunded + sum(micros for name, micros in taken.items() if name not in over)


def _about(charge: ChargeRow) -> ColumnElement[bool]:
    about: ColumnElement[bool] = _REVERSALS.charge_id == charge.charge_id
    if charge.provider_reference:
        about = or_(about, _REVERSALS.provider_reference == charge.provider_reference)
    return about


def _read(found: Any) -> ReversalRow:
    values = dict(found)
    values["kind"] = ReversalKind(values["kind"])
    return ReversalRow(**values)
