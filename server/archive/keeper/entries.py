"""From an entry of the ledger's journal to what the archive is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from policy.decision import CreditsPurse, PayerKind, PoolPurse, Purse
from server.archive import (
    AccountCarried,
    AccountDescribed,
    AccountFrozen,
    ArchivedPurse,
    CallChange,
    CallDescription,
    CallState,
    CarriedLot,
    Change,
    CreditLimitSet,
    DirectDebit,
    Entry,
    IdRuledOut,
    LotAdded,
    LotsTaken,
    LotTakenBack,
    LotVoided,
    PartitionReopened,
    Refund,
)
from server.ledger.codec import (
    UNIT,
    read_account,
    read_call_text,
    read_paid,
    read_purses,
    read_report,
    read_rows,
    read_taken,
    read_uses,
    tally_fields,
)
from server.ledger.decision_context import DecisionContext, unpack
from server.ledger.journal.entries import JournalEntry
from server.ledger.keys import tenant_of

_CALL_STATES = {
    "reserved": CallState.LIVE,
    "extended": CallState.LIVE,
    "settled": CallState.SETTLED,
    "released": CallState.RELEASED,
    "ended": CallState.ENDED,
    "expired": CallState.EXPIRED,
}
_INBOUND = re.compile(r"(^|_)in(_|$)|In$")
_PEOPLE = frozenset({PayerKind.USER, PayerKind.ORGANIZER})


class EntryUnknown(Exception):
    """An entry that this engine cannot read: damaged, or of a kind that a newer one wrote."""


def read_entry(entry: JournalEntry) -> Entry:
    """Read what an entry changed. Raises `EntryUnknown`."""
    try:
        return _read_entry(entry, entry.fields)
    except (AssertionError, IndexError, KeyError, ValueError) as error:
        raise EntryUnknown(f"entry {entry.n} cannot be read: {error!r}") from error


def _read_entry(entry: JournalEntry, fields: Mapping[str, str]) -> Entry:
    return Entry(
        n=entry.n,
        nonce=entry.nonce,
        previous_nonce=entry.previous_nonce,
        time_ms=entry.time_ms,
        kind=entry.kind,
        tenant_id=tenant_of(fields.get("tenant", "")),
        body=entry.body,
        change=_read_change(entry, fields),
    )


def _read_change(entry: JournalEntry, fields: Mapping[str, str]) -> Change:
    if entry.kind in _CALL_STATES:
        return _read_call(fields, _CALL_STATES[entry.kind])
    read = _READERS.get(entry.kind)
    if read is None:
        raise EntryUnknown(f"an entry of kind {entry.kind!r}")
    return read(fields)


def _read_call(fields: Mapping[str, str], state: CallState) -> CallChange:
    call_id, purses_text, packed = read_call_text(fields["facts"])
    context, tenant_id = unpack(packed), tenant_of(fields["tenant"])
    used, overrun, unpaid_seconds, unpaid_micros, _, implausible = read_report(fields["report"])
    return CallChange(
        opened_id=fields["opened"],
        gateway_id=fields["gateway"],
        call_id=call_id,
        state=state,
        purses_text=purses_text,
        purses=_archived_purses(purses_text, context, tenant_id),
        uses=read_uses(fields["uses"]),
        before=read_uses(fields["before"]),
        used_seconds=used,
        overrun_seconds=overrun,
        unpaid_seconds=unpaid_seconds,
        unpaid_micros=unpaid_micros,
        unfunded=fields["unfunded"] == "1",
        lots=tuple(read_paid(fields["lots"])),
        description=_describe(context),
        taken_up="taken_up" in fields,
        implausible_seconds=implausible,
        changes_purses="other_purses" in fields,
    )


def _archived_purses(
    text: str, context: DecisionContext, tenant_id: str
) -> tuple[ArchivedPurse, ...]:
    purses = read_purses(text).purses
    told = [one.capability for one in context.purses]
    if len(told) != len(purses):
        # The call is paid as it began; the context tells of purses that were found later.
        told = [""] * len(purses)
    return tuple(
        _archived_purse(purse._replace(capability=capability), context, tenant_id)
        for purse, capability in zip(purses, told, strict=True)
    )


def _archived_purse(purse: Purse, context: DecisionContext, tenant_id: str) -> ArchivedPurse:
    bounds = tally_fields(purse, tenant_id)
    tally, limit = bounds[0] if bounds else ("", 0)
    if isinstance(purse, PoolPurse):
        return ArchivedPurse(
            "pool",
            tally,
            capability=purse.capability,
            pool_id=purse.pool_id,
            period=purse.period,
            size_seconds=limit,
        )
    if isinstance(purse, CreditsPurse):
        rate_id = context.rate.rate_id if context.rate else ""
        rate = replace(purse.rate, rate_id=rate_id, currency=context.currency)
        return ArchivedPurse(
            "credits",
            tally,
            capability=purse.capability,
            rate=rate,
            post_paid=purse.post_paid,
            overdraft_micros=purse.overdraft_micros,
        )
    return ArchivedPurse("free", capability=purse.capability)


def _read_refund(fields: Mapping[str, str]) -> Refund:
    spend_field, _, freed = fields.get("spend", "").partition(UNIT)
    return Refund(
        refund_id=fields["id"],
        micros=int(fields["micros"]),
        of_lot=fields["of"],
        lot_id=fields["lot"],
        expire_ms=int(fields["expire_ms"] or 0),
        spend_field=spend_field,
        freed_micros=int(freed or 0),
    )


def _describe(context: DecisionContext) -> CallDescription:
    inbound = _INBOUND.search(context.call_type) is not None
    is_user = context.payer_kind in _PEOPLE
    same_country = context.country == context.location
    return CallDescription(
        account_id=context.account_id,
        user_location=context.location,
        # Bots have neither.
        object_id=context.account_id if is_user else "",
        upn=context.account_id if is_user else "",
        display_name=context.account_id,
        caller_id=context.called_number if inbound else context.own_number,
        call_type=context.call_type,
        call_direction="inbound" if inbound else "outbound",
        number_type="subscriber" if is_user else "service",
        domestic="Domestic" if same_country else "International",
        destination_dialed=context.label or context.country,
        destination_number=context.own_number if inbound else context.called_number,
        external_country=context.country,
    )


def _read_described(fields: Mapping[str, str]) -> AccountDescribed:
    return AccountDescribed(fields["currency"], fields["prepaid"] == "1", fields["digest"])


def _read_carried(fields: Mapping[str, str]) -> AccountCarried:
    _, prepaid, version = fields["about"].split(" ")
    digest, frozen, _, *limit = fields["flags"].split(" ")
    sums = read_account(fields["money"], fields["totals"])
    return AccountCarried(
        prepaid=prepaid == "1",
        digest=digest,
        version=int(version),
        frozen=frozen == "1",
        credit_limit=int(limit[0]) if limit else 0,
        has_balance=sums.available is not None,
        post_paid=sums.post_paid,
        funded=sums.funded,
        debited=sums.debited,
        refunded=sums.refunded,
        expired=sums.expired,
        voided=sums.voided,
        lots=tuple(
            CarriedLot(lot_id, int(micros), int(left), int(purchase), int(expire), how == "1")
            for lot_id, micros, left, purchase, expire, how in read_rows(fields["lots"])
        ),
        tallies=tuple((field, int(done)) for field, done in read_rows(fields["tallies"])),
        movements=tuple(
            (movement_id, text, int(time_ms), int(micros))
            for movement_id, text, time_ms, micros in read_rows(fields["movements"])
        ),
        freezing_ms=int(fields.get("freezing", "0")),
        limiting_ms=int(fields.get("limiting", "0")),
    )


_READERS: Mapping[str, Callable[[Mapping[str, str]], Change]] = {
    "opened": _read_described,
    "described": _read_described,
    "limit_set": lambda fields: CreditLimitSet(
        int(fields["micros"]), int(fields.get("asked", "0"))
    ),
    "frozen": lambda fields: AccountFrozen(fields["frozen"] == "1", int(fields.get("asked", "0"))),
    "topped_up": lambda fields: LotAdded(
        fields["lot"], int(fields["micros"]), int(fields["expire_ms"])
    ),
    "lot_voided": lambda fields: LotVoided(fields["lot"]),
    "lots_expired": lambda fields: LotsTaken(tuple(read_taken(fields["lots"]))),
    "taken_back": lambda fields: LotTakenBack(
        fields["id"],
        int(fields["micros"]),
        fields["lot"],
        int(fields["found"]),
        fields["apart"],
    ),
    "debited": lambda fields: DirectDebit(
        fields["id"], int(fields["micros"]), tuple(read_paid(fields["lots"]))
    ),
    "refunded": _read_refund,
    "ruled_out": lambda fields: IdRuledOut(fields["id"]),
    "carried": _read_carried,
    "reopened": lambda _: PartitionReopened(),
}
