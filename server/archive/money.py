"""What entries without a call do to money: lots come, go and are paid from. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

from server.archive.book import AccountRow, Book, LotRow, MovementRow
from server.archive.changes import DirectDebit, Entry, LotAdded, LotsTaken, LotVoided, Refund


def fold_money(book: Book, entry: Entry) -> None:
    """Apply an entry about lots or money without a call."""
    match entry.change:
        case LotAdded():
            _add_lot(book, entry, entry.change)
        case LotsTaken():
            _take_lots(book, entry.tenant_id, entry.change)
        case LotVoided(lot_id=lot_id):
            _void_lot(book, entry, lot_id)
        case DirectDebit(debit_id=movement_id, micros=micros):
            if _is_new(book, entry, movement_id, text=f"debit {micros}"):
                book.accounts[entry.tenant_id].debited_micros += micros
                pay_from_lots(book, entry.tenant_id, entry.change.lots)
        case Refund(refund_id=movement_id, micros=micros, of_lot=of_lot):
            if _is_new(book, entry, movement_id, text=f"refund {micros} {of_lot}"):
                _refund(book, entry, entry.change)
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


def _is_new(book: Book, entry: Entry, movement_id: str, *, text: str) -> bool:
    """Note a movement. One that a store had lost may be asked for again: it moves once."""
    key = (entry.tenant_id, movement_id)
    if key in book.movements:
        return False
    assert isinstance(entry.change, DirectDebit | Refund)
    book.movements[key] = MovementRow(*key, text, entry.time_ms, entry.change.micros)
    return True


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


def _refund(book: Book, entry: Entry, change: Refund) -> None:
    account = book.accounts[entry.tenant_id]
    owed = max(0, -account.balance_micros)
    account.refunded_micros += change.micros
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
        if voided:
            lot.voided = True
            account.voided_micros += taken
        else:
            account.expired_micros += taken
