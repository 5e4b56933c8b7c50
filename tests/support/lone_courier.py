"""A courier in a process of its own, to be killed: `python lone_courier.py URL SMTP_PORT`."""

from __future__ import annotations

import asyncio
import sys
import time

from server.notices.sender import Sender
from server.notices.smtp import MailServer, MailTls, SmtpClient
from server.storage.sql.database import Database
from server.transport.http import OutgoingHttp


async def work(url: str, port: int) -> None:
    """Send what waits, until killed."""
    courier = Sender(
        database=Database(url),
        now_ms=lambda: time.time_ns() // 1_000_000,
        postman=SmtpClient(MailServer("127.0.0.1", port, MailTls.NEVER), "callgate@callgate.test"),
        outgoing=OutgoingHttp(),
        webhook_key=b"",
    )
    while True:
        await courier.address()
        await courier.send_mails()
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], int(sys.argv[2])))
