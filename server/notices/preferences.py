"""Whom each tenant wants told, and of what; written by whoever holds the facts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import msgspec
from sqlalchemy import Connection, select

from policy.facts import FundingModel, Tenant
from server.notices.tables import NOTICE_SETTINGS
from server.storage.sql.database import Database
from server.storage.sql.errors import ArchiveUnavailable
from server.storage.sql.rows import pieces, upsert


class NoticeSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one tenant's facts say about notices."""

    recipients: tuple[str, ...] = ()
    language: str = "en"
    time_zone: str = "UTC"
    # Empty while nobody wrote it down.
    country: str = ""
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


_ROUND_SECONDS = 0.5
_RETRY_SECONDS = 1.0
# Tenants of one transaction.
_PIECE = 1_000

_log = logging.getLogger(__name__)


class NoticeRegister:
    """Keeps the archive's notice settings as the facts in use say; several may do it.

    Nothing that a caller waits for is in it: a change of facts is noted, and written soon.
    """

    def __init__(self, database: Database, tenants: Callable[[], Iterable[Tenant]]) -> None:
        self._database = database
        self._tenants = tenants
        self._noted: dict[str, NoticeSettings] = {}

    def note(self, tenant: Tenant) -> None:
        """Note a tenant's facts, to be written soon."""
        self._noted[tenant.tenant_id] = settings_of(tenant)

    async def run(self) -> None:
        """Write all that is in use, then what changes, until cancelled."""
        for tenant in self._tenants():
            self.note(tenant)
        await self._migrate()
        while True:
            await self.write()
            await asyncio.sleep(_ROUND_SECONDS)

    async def write(self) -> None:
        """Write what was noted; what an archive that is away does not take is written later."""
        while self._noted:
            piece = dict(list(self._noted.items())[:_PIECE])
            try:
                await self._write(piece)
            except ArchiveUnavailable as error:
                _log.debug("Notice settings wait for the archive: %s", error)
                return
            # What was noted anew meanwhile has still to be written.
            self._noted = {
                tenant_id: settings
                for tenant_id, settings in self._noted.items()
                if piece.get(tenant_id) != settings
            }

    async def _write(self, piece: dict[str, NoticeSettings]) -> None:
        """Write a piece; what cannot be written of one tenant stops no other one."""
        try:
            await self._database.write(partial(write_settings, wanted=piece))
        except ArchiveUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 -- It is told; the others are written.
            if len(piece) > 1:
                for tenant_id, settings in piece.items():
                    await self._write({tenant_id: settings})
            else:
                _log.error("Notice settings of %s cannot be written: %r", *piece, error)

    async def _migrate(self) -> None:
        while True:
            try:
                await self._database.migrate()
            except ArchiveUnavailable:
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return


def settings_of(tenant: Tenant) -> NoticeSettings:
    """Say what a tenant's facts mean for its notices."""
    notices = tenant.notices
    return NoticeSettings(
        recipients=notices.recipients,
        language=notices.language,
        time_zone=tenant.time_zone,
        country=tenant.country,
        webhook_url=notices.webhook_url,
        low_balance_micros=notices.low_balance_micros,
        expiring_days=notices.expiring_days,
        post_paid_follows=tenant.funding_model is FundingModel.DRAIN_THEN_POST_PAID
        and not tenant.auto_recharge,
    )
