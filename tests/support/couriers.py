"""An outbox, couriers that empty it, and what they carry."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import select

from ledgers import ManualClock
from server.archive import Archive
from server.notices import outbox
from server.notices.outbox import Notice, NoticeKind
from server.notices.preferences import NoticeSettings, write_settings
from server.notices.sender import LEASE_MS, Sender
from server.notices.smtp import MailServer, MailTls, SmtpClient
from server.notices.tables import NOTICE_DELIVERIES, NOTICES
from server.storage.sql.database import Database
from server.transport.http import OutgoingHttp

SENDER = "callgate@callgate.test"
BILLING = "billing@contoso.test"
MASTER = base64.b64encode(b"m" * 32)
ZERO_FACTS = {"currency": "USD", "balance_micros": 0, "post_paid_follows": False}


@dataclass(slots=True)
class PostRoom:
    """One outbox; every courier of it is one process."""

    database: Database
    port: int = 1
    clock: ManualClock = field(default_factory=ManualClock)

    def courier(self, database: Database | None = None) -> Sender:
        mail_server = MailServer("127.0.0.1", self.port, MailTls.NEVER)
        return Sender(
            database=database or self.database,
            now_ms=self.clock.now_ms,
            postman=SmtpClient(mail_server, SENDER),
            outgoing=OutgoingHttp(("127.0.0.1",), timeout_seconds=2),
            webhook_key=MASTER,
        )

    async def settle_on(self, settings: NoticeSettings, tenant: str = "contoso") -> None:
        await self.database.write(lambda c: write_settings(c, {tenant: settings}))

    async def happen(
        self,
        kind: NoticeKind = NoticeKind.BALANCE_ZERO,
        key: str = "crossing-1",
        tenant: str = "contoso",
        facts: Mapping[str, Any] = ZERO_FACTS,
    ) -> None:
        notice = Notice(kind, tenant, key, self.clock.now_ms(), facts)
        await self.database.write(partial(outbox.add, notice=notice))

    async def rows(self) -> list[dict[str, Any]]:
        """Read all deliveries."""
        query = select(NOTICE_DELIVERIES).order_by(*NOTICE_DELIVERIES.primary_key.columns)
        return await self.database.read(
            lambda c: [dict(row) for row in c.execute(query).mappings()]
        )

    async def states(self) -> list[str]:
        return [row["state"] for row in await self.rows()]

    def lapse(self) -> None:
        """Let every claim lapse, and everything that waits be due."""
        self.clock.pass_seconds(LEASE_MS // 1_000 + 1)


async def post_room(url: str) -> PostRoom:
    database = Database(url)
    await Archive(database).migrate()
    return PostRoom(database)


def sqlite_file(folder: Path) -> str:
    return f"sqlite:///{folder}/archive.sqlite"


async def work(courier: Sender) -> None:
    """Let a courier do all that it does, once."""
    await courier.address()
    await courier.send_mails()
    await courier.send_webhooks()


async def notices_of(database: Database, tenant: str = "contoso") -> list[tuple[str, int]]:
    """List the notices of a tenant by kind, with the balance that they tell."""
    return [
        (kind, facts.get("balance_micros", 0)) for kind, facts in await told_of(database, tenant)
    ]


async def told_of(database: Database, tenant: str = "contoso") -> list[tuple[str, dict[str, Any]]]:
    """List the notices of a tenant, oldest first."""
    import msgspec

    query = (
        select(NOTICES.c.kind, NOTICES.c.facts)
        .where(NOTICES.c.tenant_id == tenant)
        .order_by(NOTICES.c.time_ms, NOTICES.c.kind, NOTICES.c.crossing_key)
    )
    return await database.read(
        lambda c: [(row.kind, msgspec.json.decode(row.facts)) for row in c.execute(query)]
    )
