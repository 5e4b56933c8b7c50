"""A keeper that makes reports of the archive in a folder and is killed in the middle, or after.

python killed_reporter.py FOLDER NOW_MS before|after
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from sqlalchemy import Connection
from typing_extensions import override

from server.app.reports import Outbox
from server.storage.sql.database import Database
from server.usage.reports.sending import MadeReport, Reports


class _Killed(Outbox):
    @override
    def tell(self, connection: Connection, made: MadeReport, now_ms: int) -> None:
        super().tell(connection, made, now_ms)
        os.kill(os.getpid(), signal.SIGKILL)


async def _work(folder: str, now_ms: int, moment: str) -> None:
    async def complete_ms(_tenant_id: str) -> int:
        return now_ms

    database = Database(f"sqlite:///{folder}/archive.sqlite")
    mailbox = _Killed() if moment == "before" else Outbox()
    await Reports(database, mailbox, complete_ms, lambda: now_ms).send()
    os.kill(os.getpid(), signal.SIGKILL)


asyncio.run(_work(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
