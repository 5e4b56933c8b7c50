"""Whom each tenant wants told, and of what; written by whoever holds the facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from sqlalchemy import Connection, select

from server.archive.notice_tables import NOTICE_SETTINGS
from server.archive.rows import pieces, upsert


class NoticeSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one tenant's facts say about notices."""

    recipients: tuple[str, ...] = ()
    language: str = "en"
    time_zone: str = "UTC"
    webhook_url: str = ""
    # Absent: nobody is told that the balance is low.
    low_balance_micros: int | None = None
    expiring_days: int = 30
    # Whether calls go on at a balance of 0 and are invoiced.
    post_paid_follows: bool = False


def read_settings(connection: Connection, tenant_ids: Iterable[str]) -> dict[str, NoticeSettings]:
    """Read the settings of these tenants; of one whose facts nobody wrote yet there are none."""
    found: dict[str, NoticeSettings] = {}
    for piece in pieces(tenant_ids):
        query = select(NOTICE_SETTINGS).where(NOTICE_SETTINGS.c.tenant_id.in_(piece))
        for tenant_id, body in connection.execute(query):
            found[tenant_id] = msgspec.json.decode(body, type=NoticeSettings)
    return found


def write_settings(connection: Connection, wanted: Mapping[str, NoticeSettings]) -> None:
    """Write what differs from what is there."""
    present = read_settings(connection, wanted)
    rows = [
        {"tenant_id": tenant_id, "body": msgspec.json.encode(settings).decode()}
        for tenant_id, settings in wanted.items()
        if present.get(tenant_id) != settings
    ]
    upsert(connection, NOTICE_SETTINGS, rows)
