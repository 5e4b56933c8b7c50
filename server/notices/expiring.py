"""Telling of credits that will expire soon: looked for now and then, told once a lot."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, exists, select

from server.archive import tables
from server.notices import outbox
from server.notices.outbox import Notice, NoticeKind
from server.notices.preferences import read_settings
from server.notices.tables import NOTICES

# The longest notice that a tenant may ask for.
MAX_EXPIRING_DAYS = 180
# Lots of one round; the next round goes on.
_MOST_LOTS = 1_000
_MS_PER_DAY = 86_400_000


def find_expiring(connection: Connection, now_ms: int) -> list[Notice]:
    """Find lots that expire within the days their tenants chose, and were not told of."""
    lots, accounts = tables.LOTS.c, tables.ACCOUNTS.c
    told = exists().where(
        NOTICES.c.tenant_id == lots.tenant_id,
        NOTICES.c.kind == NoticeKind.CREDITS_EXPIRING.value,
        NOTICES.c.crossing_key == lots.lot_id,
    )
    query = (
        select(lots.tenant_id, lots.lot_id, lots.left_micros, lots.expire_ms, accounts.currency)
        .join(tables.ACCOUNTS, accounts.tenant_id == lots.tenant_id)
        .where(
            lots.left_micros > 0,
            lots.voided.is_(False),
            lots.expire_ms > now_ms,
            lots.expire_ms <= now_ms + MAX_EXPIRING_DAYS * _MS_PER_DAY,
            ~told,
        )
        .order_by(lots.expire_ms, lots.tenant_id, lots.lot_id)
    )
    due = list(connection.execute(query))
    settings = read_settings(connection, {row.tenant_id for row in due})
    found: list[Notice] = []
    for row in due:
        chosen = settings.get(row.tenant_id)
        if chosen is None or row.expire_ms > now_ms + chosen.expiring_days * _MS_PER_DAY:
            continue
        facts = {
            "currency": row.currency,
            "left_micros": row.left_micros,
            "expire_ms": row.expire_ms,
        }
        notice = Notice(NoticeKind.CREDITS_EXPIRING, row.tenant_id, row.lot_id, now_ms, facts)
        found.append(notice)
    return found[:_MOST_LOTS]


def tell_expiring(connection: Connection, found: Iterable[Notice]) -> None:
    """Write these notices; one that somebody else wrote meanwhile is there once."""
    for notice in found:
        outbox.add(connection, notice)
