"""What each entry of a journal does to the rows of the archive. No I/O.

An entry about a call tells sums, not steps: so what was archived before is subtracted, and an entry
that says less than is known (of a store that had lost its tail) changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from server.archive.book import (
    RULED_OUT,
    AccountRow,
    Book,
    CallRow,
    LotRow,
    MovementRow,
    facts_of,
)
from server.archive.changes import (
    AccountCarried,
    AccountDescribed,
    AccountFrozen,
    CallChange,
    CallState,
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
from server.archive.usage_records import Origin, record_usage
from server.ledger.requests import Use

_Moved = DirectDebit | Refund | LotTakenBack | IdRuledOut


def fold_entry(book: Book, entry: Entry, origin: Origin) -> None:
    """Apply one entry. Raises `KeyError` where its account was never opened."""
    match entry.change:
        case CallChange():
            _fold_call(book, entry, entry.change, origin=origin)
        case AccountDescribed():
            _describe_account(book, entry.tenant_id, entry.change, partition=origin.partition)
        case AccountFrozen(frozen=frozen, asked_ms=asked_ms):
            account = book.accounts[entry.tenant_id]
            account.frozen = frozen
            account.freezing_ms = max(account.freezing_ms, asked_ms)
        case CreditLimitSet(micros=micros, asked_ms=asked_ms):
            account = book.accounts[entry.tenant_id]
            account.credit_limit_micros = micros
            account.limiting_ms = max(account.limiting_ms, asked_ms)
            account.has_balance = account.has_balance or micros > 0
        case AccountCarried():
            _carry_account(book, entry, entry.change)
        case PartitionReopened():
            pass
        case _:
            fold_money(book, entry)


def settle_lost(book: Book, origin: Origin) -> list[CallRow]:
    """Close the books of a partition whose store is lost: nothing runs, nothing is held there.

    Calls that were running get their usage records, and are returned; when they are announced again
    it is as new ones that count on from here. Lots are made to hold exactly what the sums say is
    left.
    """
    lost = [call for call in book.calls.values() if call.state is CallState.LIVE]
    for call in lost:
        call.state = CallState.LOST
        record_usage(book, call, origin)
    for account in book.accounts.values():
        level_lots(book, account)
    return lost


def _describe_account(
    book: Book, tenant_id: str, change: AccountDescribed, *, partition: int
) -> None:
    account = book.accounts.get(tenant_id)
    if account is None:
        account = AccountRow(tenant_id, partition, change.currency, change.prepaid, "")
        book.accounts[tenant_id] = account
    account.prepaid, account.digest = change.prepaid, change.digest
    account.version += 1


def _carry_account(book: Book, entry: Entry, change: AccountCarried) -> None:
    """Make the rows say what the store says: it is ahead of what was archived of it."""
    account = book.accounts[entry.tenant_id]
    went = change.expired + change.voided - account.expired_micros - account.voided_micros
    for lot in change.lots:
        key = (entry.tenant_id, lot.lot_id)
        row = book.lots.get(key)
        if row is None:
            times = lot.purchase_ms, lot.expire_ms
            row = book.lots[key] = LotRow(*key, lot.micros, lot.micros, *times)
        if lot.voided or row.expire_ms <= entry.time_ms:
            taken = max(0, min(row.left_micros - lot.left_micros, went))
            row.taken_micros += taken
            went -= taken
        row.left_micros, row.voided = lot.left_micros, lot.voided
    for field, done in change.tallies:
        book.tallies[entry.tenant_id, field] = done
    for movement_id, text, time_ms, micros in change.movements:
        key = (entry.tenant_id, movement_id)
        book.movements.setdefault(key, MovementRow(*key, text, time_ms, micros))
    account.prepaid, account.digest, account.version = change.prepaid, change.digest, change.version
    account.frozen, account.credit_limit_micros = change.frozen, change.credit_limit
    account.freezing_ms = max(account.freezing_ms, change.freezing_ms)
    account.limiting_ms = max(account.limiting_ms, change.limiting_ms)
    account.has_balance, account.post_paid_micros = change.has_balance, change.post_paid
    account.funded_micros, account.debited_micros = change.funded, change.debited
    account.refunded_micros = change.refunded
    account.expired_micros, account.voided_micros = change.expired, change.voided


def _fold_call(book: Book, entry: Entry, change: CallChange, *, origin: Origin) -> None:
    call = book.calls.get((entry.tenant_id, change.opened_id))
    if call is None:
        call = _begin_call(book, entry, change, part=0)
    elif not _is_paid_as_before(book, call, change):
        if entry.kind != "reserved" and not (change.taken_up or change.changes_purses):
            # It comes from before the purses changed.
            return
        record_usage(book, call, origin)
        call = _begin_call(book, entry, change, part=call.part + 1)
    if change.used_seconds >= call.used_seconds:
        _debit(book, call, change)
        call.facts, call.report_ms = facts_of(change), entry.time_ms
        call.used_seconds, call.overrun_seconds = change.used_seconds, change.overrun_seconds
        call.unpaid_seconds, call.unpaid_micros = change.unpaid_seconds, change.unpaid_micros
        call.implausible_seconds = change.implausible_seconds
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
        use = uses.get(index, Use(index, 0, 0))
        seconds, micros = use.seconds - row.seconds, use.micros - row.micros
        row.seconds, row.micros = use.seconds, use.micros
        account.debited_micros += micros
        if change.unfunded and purse.post_paid:
            account.post_paid_micros += micros
        counted = micros if purse.kind == "credits" else seconds
        book.add_to_tally(call.tenant_id, purse.tally, counted)
    pay_from_lots(book, call.tenant_id, change.lots)


def fold_money(book: Book, entry: Entry) -> None:
    """Apply an entry about lots or money without a call."""
    match entry.change:
        case LotAdded():
            _add_lot(book, entry, entry.change)
        case LotsTaken():
            _take_lots(book, entry.tenant_id, entry.change)
        case LotVoided(lot_id=lot_id):
            _void_lot(book, entry, lot_id)
        case DirectDebit() | Refund() | LotTakenBack() | IdRuledOut():
            _move(book, entry, entry.change)
        case _:
            raise AssertionError(entry.kind)


def pay_from_lots(book: Book, tenant_id: str, paid: Iterable[tuple[str, int]]) -> None:
    """Take debited money out of these lots, none below 0."""
    for lot_id, micros in paid:
        lot = book.lots[tenant_id, lot_id]
        lot.left_micros = max(0, lot.left_micros - micros)


def level_lots(book: Book, account: AccountRow) -> None:
    """Make the lots hold what the sums say; they differ only where a store lost its tail."""
    lots = book.lots_of(account.tenant_id)
    surplus = sum(lot.left_micros for lot in lots) - max(0, account.balance_micros)
    for lot in lots:
        taken = min(lot.left_micros, max(0, surplus))
        lot.left_micros -= taken
        surplus -= taken
    for lot in reversed(lots):
        # Given back to those that last longest, none more than was bought.
        given = min(lot.micros - lot.left_micros, max(0, -surplus))
        lot.left_micros += given
        surplus += given


def _move(book: Book, entry: Entry, change: _Moved) -> None:
    """Apply what has an id of its own, once: a store that had lost it may have done it again."""
    movement_id, text, micros = _remembered(change)
    key = (entry.tenant_id, movement_id)
    if key in book.movements:
        return
    book.movements[key] = MovementRow(*key, text, entry.time_ms, micros)
    match change:
        case DirectDebit():
            book.accounts[entry.tenant_id].debited_micros += change.micros
            pay_from_lots(book, entry.tenant_id, change.lots)
        case Refund():
            _refund(book, entry, change)
        case LotTakenBack():
            _take_back(book, entry, change)


def _remembered(change: _Moved) -> tuple[str, str, int]:
    """Say by which id, and how, the ledger knows it again; and its micros."""
    match change:
        case DirectDebit(debit_id=movement_id, micros=micros):
            return movement_id, f"debit {micros}", micros
        case Refund(refund_id=movement_id, micros=micros, of_lot=of_lot):
            return movement_id, f"refund {micros} {of_lot}", micros
        case LotTakenBack(taking_id=movement_id, micros=micros, lot_id=lot_id):
            return movement_id, f"taken {micros} {lot_id} {change.found_micros}", micros
        case IdRuledOut(change_id=movement_id):
            return movement_id, RULED_OUT, 0


def _add_lot(book: Book, entry: Entry, change: LotAdded) -> None:
    key = (entry.tenant_id, change.lot_id)
    if key in book.lots:
        # Applied again by a store that had lost it: the money came in once.
        return
    account = book.accounts[entry.tenant_id]
    owed = max(0, -account.balance_micros)
    account.has_balance = True
    account.funded_micros += change.micros
    book.lots[key] = LotRow(
        *key,
        micros=change.micros,
        left_micros=max(0, change.micros - owed),
        purchase_ms=entry.time_ms,
        expire_ms=change.expire_ms,
    )


def _void_lot(book: Book, entry: Entry, lot_id: str) -> None:
    # Its expiry stays: by it the ledger knows the lot again.
    book.lots[entry.tenant_id, lot_id].voided = True


def _take_back(book: Book, entry: Entry, change: LotTakenBack) -> None:
    """Set apart what was there, in a voided lot; it leaves that one with `LotsTaken`."""
    found = change.found_micros
    if found == 0:
        return
    lot = book.lots[entry.tenant_id, change.lot_id]
    lot.left_micros = max(0, lot.left_micros - found)
    key = (entry.tenant_id, change.apart_id)
    book.lots[key] = LotRow(*key, found, found, entry.time_ms, entry.time_ms, voided=True)


def _refund(book: Book, entry: Entry, change: Refund) -> None:
    account = book.accounts[entry.tenant_id]
    owed = max(0, -account.balance_micros)
    account.refunded_micros += change.micros
    if change.spend_field:
        tally = entry.tenant_id, change.spend_field
        book.tallies[tally] = max(0, book.tallies.get(tally, 0) - change.freed_micros)
    if not change.lot_id:
        account.post_paid_micros -= change.micros
        return
    key = (entry.tenant_id, change.lot_id)
    lot = book.lots.setdefault(key, LotRow(*key, change.micros, 0, entry.time_ms, change.expire_ms))
    lot.left_micros += max(0, change.micros - owed)


def _take_lots(book: Book, tenant_id: str, change: LotsTaken) -> None:
    account = book.accounts[tenant_id]
    for lot_id, micros, voided in change.taken:
        lot = book.lots[tenant_id, lot_id]
        # No lot loses more than it has, however often a store that forgot it says so.
        taken = min(micros, lot.left_micros)
        lot.left_micros -= taken
        lot.taken_micros += taken
        if voided:
            lot.voided = True
            account.voided_micros += taken
        else:
            account.expired_micros += taken
