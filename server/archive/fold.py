"""What each entry of a journal does to the rows of the archive. No I/O.

An entry about a call tells sums, not steps: so what was archived before is subtracted, and an entry
that says less than is known (of a store that had lost its tail) changes nothing.
"""

from __future__ import annotations

from server.archive.book import AccountRow, Book, CallRow, facts_of
from server.archive.changes import (
    AccountDescribed,
    AccountFrozen,
    CallChange,
    CallState,
    CreditLimitSet,
    Entry,
    PartitionReopened,
    PurseUse,
)
from server.archive.money import fold_money, level_lots, pay_from_lots
from server.archive.usage import Origin, record_usage


def fold_entry(book: Book, entry: Entry, origin: Origin) -> None:
    """Apply one entry. Raises `KeyError` where its account was never opened."""
    match entry.change:
        case CallChange():
            _fold_call(book, entry, entry.change, origin=origin)
        case AccountDescribed():
            _describe_account(book, entry.tenant_id, entry.change, partition=origin.partition)
        case AccountFrozen(frozen=frozen):
            book.accounts[entry.tenant_id].frozen = frozen
        case CreditLimitSet(micros=micros):
            account = book.accounts[entry.tenant_id]
            account.credit_limit_micros = micros
            account.has_balance = account.has_balance or micros > 0
        case PartitionReopened():
            pass
        case _:
            fold_money(book, entry)


def settle_lost(book: Book, origin: Origin) -> None:
    """Close the books of a partition whose store is lost: nothing runs, nothing is held there.

    Calls that were running get their usage records; when they are announced again it is as new
    ones that count on from here. Lots are made to hold exactly what the sums say is left.
    """
    for call in book.calls.values():
        if call.state is CallState.LIVE:
            call.state = CallState.LOST
            record_usage(book, call, origin)
    for account in book.accounts.values():
        level_lots(book, account)


def _describe_account(
    book: Book, tenant_id: str, change: AccountDescribed, *, partition: int
) -> None:
    account = book.accounts.get(tenant_id)
    if account is None:
        account = AccountRow(tenant_id, partition, change.currency, change.prepaid, "")
        book.accounts[tenant_id] = account
    account.prepaid, account.digest = change.prepaid, change.digest
    account.version += 1


def _fold_call(book: Book, entry: Entry, change: CallChange, *, origin: Origin) -> None:
    call = book.calls.get((entry.tenant_id, change.opened_id))
    if call is None:
        call = _begin_call(book, entry, change, part=0)
    elif not _is_paid_as_before(book, call, change):
        if entry.kind != "reserved" and not change.taken_up:
            # Only a new question changes the purses; this one comes from before the last.
            return
        record_usage(book, call, origin)
        call = _begin_call(book, entry, change, part=call.part + 1)
    if change.used_seconds >= call.used_seconds:
        _debit(book, call, change)
        call.facts, call.report_ms = facts_of(change), entry.time_ms
        call.used_seconds, call.overrun_seconds = change.used_seconds, change.overrun_seconds
        call.unpaid_seconds, call.unpaid_micros = change.unpaid_seconds, change.unpaid_micros
    call.state = change.state
    if call.state.is_over:
        record_usage(book, call, origin)


def _is_paid_as_before(book: Book, call: CallRow, change: CallChange) -> bool:
    """Tell whether uses count on from what these purses paid, and from nothing that others did."""
    if call.purses_text != change.purses_text:
        return False
    known = sum(use.seconds for use in book.uses_of(call))
    return not change.taken_up or sum(use.seconds for use in change.before) <= known


def _begin_call(book: Book, entry: Entry, change: CallChange, *, part: int) -> CallRow:
    key = (entry.tenant_id, change.opened_id)
    earlier = book.calls.get(key)
    call = CallRow(
        *key,
        gateway_id=change.gateway_id,
        call_id=change.call_id,
        state=change.state,
        part=part,
        purses_text=change.purses_text,
        facts=facts_of(change),
        start_ms=earlier.start_ms if earlier else entry.time_ms,
        report_ms=entry.time_ms,
        used_seconds=0,
    )
    book.calls[key] = call
    for use in change.before:
        row = book.use(call, use.purse_index)
        row.seconds = row.recorded_seconds = use.seconds
        row.micros = row.recorded_micros = use.micros
    return call


def _debit(book: Book, call: CallRow, change: CallChange) -> None:
    account = book.accounts[call.tenant_id]
    uses = {use.purse_index: use for use in change.uses}
    for index in sorted(uses.keys() | {row.purse_index for row in book.uses_of(call)}):
        purse, row = change.purses[index], book.use(call, index)
        use = uses.get(index, PurseUse(index, 0, 0))
        seconds, micros = use.seconds - row.seconds, use.micros - row.micros
        row.seconds, row.micros = use.seconds, use.micros
        account.debited_micros += micros
        if change.unfunded and purse.post_paid:
            account.post_paid_micros += micros
        counted = micros if purse.kind == "credits" else seconds
        book.add_to_tally(call.tenant_id, purse.tally, counted)
    pay_from_lots(book, call.tenant_id, change.lots)
