"""Reading archived entries again, for who follows a journal from an old place."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from server.archive import tables


@dataclass(frozen=True, slots=True)
class ArchivedEntry:
    """One entry of a partition's journal, as the ledger wrote it."""

    epoch: int
    n: int
    nonce: str
    previous_nonce: str
    time_ms: int
    kind: str
    tenant_id: str
    body: str


@dataclass(frozen=True, slots=True)
class JournalSpan:
    """Entries of one epoch of a partition, after `after_n` and before `before_n`.

    Of one tenant only, if one is named; `limit` at most, the oldest ones.
    """

    partition: int
    epoch: int
    after_n: int
    before_n: int
    limit: int
    tenant_id: str = ""


def read_span(connection: Connection, span: JournalSpan) -> tuple[str | None, list[ArchivedEntry]]:
    """Read a span, and the nonce of the entry at `after_n`; None where that one is not archived."""
    journal = tables.JOURNAL.c
    here = (journal.partition == span.partition, journal.epoch == span.epoch)
    nonce: str | None = connection.scalar(
        select(journal.nonce).where(*here, journal.n == span.after_n)
    )
    query = select(*(journal[name] for name in ArchivedEntry.__slots__)).where(
        *here, journal.n > span.after_n, journal.n < span.before_n
    )
    if span.tenant_id:
        query = query.where(journal.tenant_id == span.tenant_id)
    rows = connection.execute(query.order_by(journal.n).limit(span.limit))
    return nonce, [ArchivedEntry(*row) for row in rows]
