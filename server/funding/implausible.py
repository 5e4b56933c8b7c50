"""Use that was held apart, because it cannot have passed: telling, charging and waiving it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select, update

from policy.rating import MAX_WHOLE_NUMBER, price_micros
from server.archive import tables
from server.archive.book import CallRow, read_call
from server.archive.changes import CallState
from server.funding.applying import Kind
from server.funding.errors import FundingBusy, FundingRefused, UseUnknown, Why
from server.funding.funding_rows import hold_funding
from server.funding.request_rows import RequestState, of_reference
from server.funding.requests import Asked, FundingRequests
from server.storage.sql.audit import Audited, newest_change
from server.storage.sql.rows import plain_row

_DIGEST_DIGITS, _ID_BYTES = 32, 12
# Of a call that runs the next report may say less.
_OVER = [state.value for state in CallState if state.is_over]


class Fate(StrEnum):
    """What becomes of held use; the word of the audit trail."""

    CHARGED = "ChargeImplausibleUse"
    WAIVED = "WaiveImplausibleUse"


@dataclass(frozen=True, slots=True)
class HeldUse:
    """What was reported of a call and not believed, until somebody settles it.

    `micros` is what credits would still cost for it at the rate of the call; 0 where none paid.
    `overdraft_micros` is how far below zero the call itself might have gone.
    """

    tenant_id: str
    opened_id: str
    gateway_id: str
    call_id: str
    seconds: int
    micros: int
    overdraft_micros: int = 0


@dataclass(frozen=True, slots=True)
class Settling:
    """What somebody decided about what is held apart of one call."""

    tenant_id: str
    opened_id: str
    fate: Fate
    identity_id: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """Which held use is meant: of one tenant or of all, of one call, after one; at most `limit`."""

    tenant_id: str = ""
    opened_id: str = ""
    after: str = ""
    limit: int | None = None


_ALL = Held()


def held_use(connection: Connection, held: Held = _ALL) -> Iterator[HeldUse]:
    """List what is held apart of calls that are over, by tenant."""
    calls = tables.CALLS.c
    query = (
        select(tables.CALLS)
        .where(calls.implausible_seconds > 0, calls.state.in_(_OVER), calls.opened_id > held.after)
        .order_by(calls.tenant_id, calls.opened_id)
        .limit(held.limit)
    )
    if held.tenant_id:
        query = query.where(calls.tenant_id == held.tenant_id)
    if held.opened_id:
        query = query.where(calls.opened_id == held.opened_id)
    for row in connection.execute(query).mappings():
        call = read_call(plain_row(row))
        charged = charged_micros(connection, call.tenant_id, call.opened_id)
        yield HeldUse(
            call.tenant_id,
            call.opened_id,
            call.gateway_id,
            call.call_id,
            call.implausible_seconds,
            max(0, _price_micros(connection, call) - charged),
            _overdraft_micros(call),
        )


def charged_micros(connection: Connection, tenant_id: str, opened_id: str) -> int:
    """Sum up what was debited of a call's held use, or is being debited."""
    found = of_reference(connection, tenant_id, _reference(opened_id))
    return sum(request.body["micros"] for request in found)


async def settle(funding_requests: FundingRequests, settling: Settling) -> int:
    """Charge or waive what is held apart of a call, once; the same again changes nothing.

    Returns what was debited for it in all, in micros. Raises `UseUnknown`, `FundingBusy` where
    another one is at it, and `FundingRefused` where it was settled otherwise or cannot be paid:
    then it stays held apart.
    """
    database = funding_requests.database
    held = await database.read(lambda c: _find(c, settling))
    if held is None:
        return await database.read(lambda c: _settled_before(c, settling))
    if settling.fate is Fate.CHARGED and held.micros:
        await funding_requests.ask(_debit(held, settling))
    return await database.write(lambda c: _take_off(c, funding_requests, settling, held=held))


def _find(connection: Connection, settling: Settling) -> HeldUse | None:
    wanted = Held(settling.tenant_id, settling.opened_id)
    return next(held_use(connection, wanted), None)


def _debit(held: HeldUse, settling: Settling) -> Asked:
    # Each attempt has an id of its own: one that could not be paid is refused for good.
    request_id = f"implausible-{secrets.token_hex(_ID_BYTES)}"

    def body(connection: Connection, _: Any) -> Mapping[str, Any]:
        if _find(connection, settling) != held:
            raise FundingBusy
        return {
            "debit_id": f"debit:{request_id}",
            "micros": held.micros,
            "overdraft_micros": held.overdraft_micros,
        }

    return Asked(
        tenant_id=held.tenant_id,
        request_id=request_id,
        kind=Kind.DEBIT,
        identity_id=settling.identity_id,
        content={"of": held.opened_id, "micros": str(held.micros), "note": settling.note},
        settle=body,
        reference=_reference(held.opened_id),
    )


def _take_off(
    connection: Connection, funding_requests: FundingRequests, settling: Settling, *, held: HeldUse
) -> int:
    """Take held use off its call, and write down who did so."""
    hold_funding(connection, held.tenant_id)
    debits = of_reference(connection, held.tenant_id, _reference(held.opened_id))
    if any(debit.state is RequestState.ACCEPTED for debit in debits):
        raise FundingBusy
    found = _find(connection, settling)
    if found is None:
        return _settled_before(connection, settling)
    if found.seconds != held.seconds or (settling.fate is Fate.CHARGED and found.micros):
        # A later report came in.
        raise FundingBusy
    if settling.fate is Fate.WAIVED and debits and not found.micros:
        # Whoever charged it was cut off before it was taken off.
        raise _settled_otherwise("charged")
    calls = tables.CALLS.c
    connection.execute(
        update(tables.CALLS)
        .where(calls.tenant_id == held.tenant_id, calls.opened_id == held.opened_id)
        .values(implausible_seconds=0)
    )
    charged = charged_micros(connection, held.tenant_id, held.opened_id)
    before = {"implausible_seconds": held.seconds, "micros": held.micros}
    after = {"implausible_seconds": 0, "charged_micros": charged, "note": settling.note}
    what = Audited(settling.fate.value, _path(settling), held.tenant_id)
    funding_requests.audit.record(
        connection, settling.identity_id, what, before=before, after=after
    )
    return charged


def _settled_before(connection: Connection, settling: Settling) -> int:
    found = newest_change(connection, settling.tenant_id, _path(settling))
    if found is None:
        raise UseUnknown
    if found.what.action != settling.fate.value:
        charged = found.what.action == Fate.CHARGED.value
        raise _settled_otherwise("charged" if charged else "waived")
    return charged_micros(connection, settling.tenant_id, settling.opened_id)


def _settled_otherwise(how: str) -> FundingRefused:
    return FundingRefused(Why.IMPLAUSIBLE_SETTLED, f"It was {how} before.", {"settled": how})


def _price_micros(connection: Connection, call: CallRow) -> int:
    micros, uses = 0, tables.CALL_USES.c
    for index, purse in enumerate(call.facts.purses):
        if purse.rate is None:
            continue
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
    return micros


def _overdraft_micros(call: CallRow) -> int:
    credits_purses = [purse for purse in call.facts.purses if purse.kind == "credits"]
    if any(purse.post_paid for purse in credits_purses):
        return MAX_WHOLE_NUMBER
    return max((purse.overdraft_micros for purse in credits_purses), default=0)


def _path(settling: Settling) -> str:
    return f"tenants/{settling.tenant_id}/calls/{settling.opened_id}"


def _reference(opened_id: str) -> str:
    return f"implausible:{hashlib.sha256(opened_id.encode()).hexdigest()[:_DIGEST_DIGITS]}"
