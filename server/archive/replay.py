"""Reading archived entries again, for who follows a journal from an old place."""

from __future__ import annotations

from sqlalchemy import Connection, select

from server.archive import tables
from server.ledger.journal.past import ArchivedEntry, JournalSpan


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
