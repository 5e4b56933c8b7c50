"""Seeing what a tenant is told of, entry by entry, as the journal is archived.

What has been told is kept in marks that move in the transaction of the entries. So a crossing is
told exactly once, whoever archives it and wherever somebody dies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, select

from server.archive import CallChange, Entry, LotsTaken
from server.archive.book import AccountRow, Book, CallRow
from server.archive.changes import ArchivedPurse
from server.archive.usage_records import Origin
from server.notices import outbox
from server.notices.outbox import Facts, Notice, NoticeKind
from server.notices.preferences import NoticeSettings, read_settings
from server.notices.tables import NOTICE_MARKS
from server.storage.sql.rows import pieces, upsert

LOW, ZERO = "balance_low", "balance_zero"
# What the mark of a balance says.
ARMED: Final = 0
TOLD: Final = 1
POOL_LINES: Final = ((80, NoticeKind.POOL_80), (100, NoticeKind.POOL_100))
_PERCENT = 100
# Pools of one person are no pools: who has used up an allowance of their own hears it on the phone.
_OWN_POOL = "user:"
_NO_SETTINGS = NoticeSettings()


class CrossingWatch:
    """Looks on at one batch of entries."""

    def __init__(self, connection: Connection, entries: Sequence[Entry]) -> None:
        self._connection = connection
        tenant_ids = {entry.tenant_id for entry in entries if entry.tenant_id}
        self._settings = read_settings(connection, tenant_ids)
        self._marks = _read_marks(connection, tenant_ids)
        self._moved: dict[tuple[str, str], int] = {}
        self._notices: list[Notice] = []

    def see(self, book: Book, entry: Entry, origin: Origin) -> None:
        """Look at one tenant's rows as they are after an entry."""
        account = book.accounts.get(entry.tenant_id)
        if account is None:
            return
        match entry.change:
            case CallChange():
                self._see_pools(book, entry, entry.change, origin=origin)
                self._see_implausible(book, entry, entry.change)
            case LotsTaken():
                self._see_expired(account, entry, entry.change, origin=origin)
            case _:
                pass
        if account.has_balance:
            self._see_low(account, entry, origin)
            self._see_zero(account, entry, origin)

    def see_lost(self, calls: Sequence[CallRow], time_ms: int) -> None:
        """Look at calls that ended because their store was lost."""
        for call in calls:
            self._tell_implausible(call, time_ms)

    def finish(self) -> None:
        """Write the notices, and how far each tenant is now from the next."""
        rows = [
            {"tenant_id": tenant_id, "mark": mark, "value": value}
            for (tenant_id, mark), value in self._moved.items()
        ]
        upsert(self._connection, NOTICE_MARKS, rows)
        for notice in self._notices:
            outbox.add(self._connection, notice)

    def _see_zero(self, account: AccountRow, entry: Entry, origin: Origin) -> None:
        mark = self._marks.get((account.tenant_id, ZERO))
        if account.balance_micros > 0:
            self._put(account, ZERO, ARMED)
        elif mark == ARMED:
            self._put(account, ZERO, TOLD)
            settings = self._settings.get(account.tenant_id, _NO_SETTINGS)
            facts = _money(account) | {"post_paid_follows": settings.post_paid_follows}
            self._tell(NoticeKind.BALANCE_ZERO, entry, origin, facts=facts)

    def _see_low(self, account: AccountRow, entry: Entry, origin: Origin) -> None:
        threshold = self._settings.get(account.tenant_id, _NO_SETTINGS).low_balance_micros
        if threshold is None:
            return
        if account.balance_micros >= threshold:
            self._put(account, LOW, ARMED)
        elif self._marks.get((account.tenant_id, LOW)) != TOLD:
            # Also the first time that it is looked at: whoever sets a line is told of being below.
            self._put(account, LOW, TOLD)
            facts = _money(account) | {"threshold_micros": threshold}
            self._tell(NoticeKind.BALANCE_LOW, entry, origin, facts=facts)

    def _see_pools(self, book: Book, entry: Entry, change: CallChange, *, origin: Origin) -> None:
        account = book.accounts[entry.tenant_id]
        for purse in change.purses:
            if purse.size_seconds and not purse.pool_id.startswith(_OWN_POOL):
                done = book.tallies.get((entry.tenant_id, purse.tally), 0)
                self._see_pool(account, entry, purse, done=done, origin=origin)

    def _see_pool(
        self, account: AccountRow, entry: Entry, purse: ArchivedPurse, *, done: int, origin: Origin
    ) -> None:
        for percent, kind in POOL_LINES:
            mark = f"{kind.value} {purse.tally}"
            told_of = self._marks.get((account.tenant_id, mark), 0)
            # A pool that grew since is told of again, if that much of it is used.
            if done * _PERCENT >= percent * purse.size_seconds and told_of < purse.size_seconds:
                self._put(account, mark, purse.size_seconds)
                facts = {
                    "pool_id": purse.pool_id,
                    "counter": purse.tally.split("/", 3)[2],
                    "period": purse.period,
                    "used_seconds": done,
                    "size_seconds": purse.size_seconds,
                }
                self._tell(kind, entry, origin, facts=facts)

    def _see_implausible(self, book: Book, entry: Entry, change: CallChange) -> None:
        # Of a call that runs the next report may say less.
        call = book.calls[entry.tenant_id, change.opened_id]
        if call.state.is_over:
            self._tell_implausible(call, entry.time_ms)

    def _tell_implausible(self, call: CallRow, time_ms: int) -> None:
        if not call.implausible_seconds:
            return
        facts = {
            "call_id": call.call_id,
            "gateway_id": call.gateway_id,
            "decision_id": call.opened_id,
            "counted_seconds": call.used_seconds,
            "implausible_seconds": call.implausible_seconds,
        }
        kind = NoticeKind.IMPLAUSIBLE_USE
        self._notices.append(Notice(kind, call.tenant_id, call.opened_id, time_ms, facts))

    def _see_expired(
        self, account: AccountRow, entry: Entry, change: LotsTaken, *, origin: Origin
    ) -> None:
        # A lot that running calls still hold expires in pieces, as they give it back.
        fresh = [
            (lot_id, micros)
            for lot_id, micros, voided in change.taken
            if micros > 0 and not voided and self._is_fresh(account, lot_id)
        ]
        if not fresh:
            return
        for lot_id, _ in fresh:
            self._put(account, _expired_mark(lot_id), TOLD)
        facts = _money(account) | {
            "expired_micros": sum(micros for _, micros in fresh),
            "lots": len(fresh),
        }
        self._tell(NoticeKind.CREDITS_EXPIRED, entry, origin, facts=facts)

    def _is_fresh(self, account: AccountRow, lot_id: str) -> bool:
        return (account.tenant_id, _expired_mark(lot_id)) not in self._marks

    def _put(self, account: AccountRow, mark: str, value: int) -> None:
        key = (account.tenant_id, mark)
        if self._marks.get(key) != value:
            self._marks[key] = self._moved[key] = value

    def _tell(self, kind: NoticeKind, entry: Entry, origin: Origin, *, facts: Facts) -> None:
        key = f"{origin.partition}/{origin.epoch}/{origin.n}"
        if "pool_id" in facts:
            # One entry may carry two pools over their lines.
            key = f"{key}/{facts['pool_id']}/{facts['counter']}"
        self._notices.append(Notice(kind, entry.tenant_id, key, entry.time_ms, facts))


def _expired_mark(lot_id: str) -> str:
    return f"{NoticeKind.CREDITS_EXPIRED.value} {lot_id}"


def _money(account: AccountRow) -> dict[str, object]:
    return {"currency": account.currency, "balance_micros": account.balance_micros}


def _read_marks(connection: Connection, tenant_ids: set[str]) -> dict[tuple[str, str], int]:
    marks: dict[tuple[str, str], int] = {}
    for piece in pieces(tenant_ids):
        query = select(NOTICE_MARKS).where(NOTICE_MARKS.c.tenant_id.in_(piece))
        marks |= {(row.tenant_id, row.mark): row.value for row in connection.execute(query)}
    return marks
