"""Reading archived entries of one journal, as they were written."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from server.archive import tables


@dataclass(frozen=True, slots=True)
class ArchivedEntry:
    """One entry of a journal, not looked into."""

    epoch: int
    n: int
    nonce: str
    previous_nonce: str
    time_ms: int
    kind: str
    body: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which entries: of one epoch, between two numbers that are excluded; of one tenant, if named.

    `limit` is how many at most, the oldest.
    """

    epoch: int
    after_n: int
    before_n: int
    limit: int
    tenant_id: str = ""


def read_stretch(
    connection: Connection, partition: int, stretch: Stretch
) -> tuple[str | None, list[ArchivedEntry]]:
    """Read a stretch, and the nonce of the entry before it, None where that is not archived."""
    rows = tables.JOURNAL.c
    of_epoch = (rows.partition == partition, rows.epoch == stretch.epoch)
    nonce = connection.scalar(select(rows.nonce).where(*of_epoch, rows.n == stretch.after_n))
    query = (
        select(
            *(rows.epoch, rows.n, rows.nonce, rows.previous_nonce),
            *(rows.time_ms, rows.kind, rows.body),
        )
        .where(*of_epoch, rows.n > stretch.after_n, rows.n < stretch.before_n)
        .order_by(rows.n)
        .limit(stretch.limit)
    )
    if stretch.tenant_id:
        query = query.where(rows.tenant_id == stretch.tenant_id)
    return nonce, [ArchivedEntry(*row) for row in connection.execute(query)]
