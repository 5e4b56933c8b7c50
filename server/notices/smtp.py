"""Handing mails over to a mail server, and telling apart what went wrong."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as MAIL_POLICY
from email.utils import format_datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from server.notices.outbox import NoticeFile
from server.notices.rendering import Told, render

if TYPE_CHECKING:
    from aiosmtplib import SMTP

# For each step of the conversation; the last one, in which a server may look a mail through, too.
STEP_SECONDS = 30.0
_PERMANENT = 500


class MailServerAway(Exception):
    """The mail server does not answer, or lets us hand nothing over: all mails wait."""


class MailPostponed(Exception):
    """This one was not taken now; it may be later."""


class MailRefused(Exception):
    """This one will never be taken: nobody has that address, or the server wants no such mail."""


class SmtpClient:
    """Hands mails over, several on one connection. `sender` is the address that they come from."""

    def __init__(self, mail_server: MailServer, sender: str) -> None:
        self.sender = sender
        self._mail_server = mail_server

    @asynccontextmanager
    async def round(self) -> AsyncIterator[Round]:
        """Connect, with TLS and a login where they are set. Raises `MailServerAway`."""
        from aiosmtplib import SMTP, SMTPException

        there = self._mail_server
        connection = SMTP(
            hostname=there.host,
            port=there.port,
            username=there.user or None,
            password=there.password or None,
            use_tls=there.tls is MailTls.AT_ONCE,
            # Demanded where it is set: a server that no longer offers it gets nothing.
            start_tls=there.tls is MailTls.STARTTLS,
            timeout=STEP_SECONDS,
        )
        try:
            await connection.connect()
        except (SMTPException, OSError, ValueError) as error:
            connection.close()
            raise MailServerAway(f"{type(error).__name__}: {error}") from error
        try:
            yield Round(connection, self.sender)
        finally:
            with contextlib.suppress(SMTPException, OSError):
                await connection.quit()
            connection.close()


class Round:
    """One connection to the mail server."""

    def __init__(self, connection: SMTP, sender: str) -> None:
        self._connection = connection
        self._sender = sender

    async def hand_over(
        self, mail: EmailMessage, target: str, goes_out: Callable[[], Awaitable[bool]]
    ) -> bool:
        """Hand one mail over; True once the server says that it has it.

        `goes_out` is asked when the server is ready for the mail itself; where it says no, nothing
        is sent and this is False. Raises `MailServerAway`, `MailPostponed` and `MailRefused`.
        """
        from aiosmtplib import SMTPException, SMTPResponseException

        try:
            await self._connection.mail(self._sender)
        except (SMTPException, OSError) as error:
            # It does not like the sender: no other mail of ours would fare better.
            raise MailServerAway(str(error)) from error
        try:
            await self._connection.rcpt(target)
            if not await goes_out():
                await self._connection.rset()
                return False
            await self._connection.data(mail.as_bytes())
        except SMTPResponseException as error:
            await self._forget()
            kind = MailRefused if error.code >= _PERMANENT else MailPostponed
            raise kind(f"{error.code} {error.message}") from error
        except (SMTPException, OSError) as error:
            # No answer to the mail itself is no promise either: it goes out again, with its name.
            raise MailServerAway(f"{type(error).__name__}: {error}") from error
        return True

    async def _forget(self) -> None:
        from aiosmtplib import SMTPException

        with contextlib.suppress(SMTPException, OSError):
            await self._connection.rset()


class MailTls(StrEnum):
    """When TLS begins. Where it does not, no password is sent to another machine."""

    NEVER = "smtp"
    STARTTLS = "smtp+starttls"
    AT_ONCE = "smtps"


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mails are handed over, and as whom."""

    host: str
    port: int
    tls: MailTls
    user: str = ""
    password: str = field(default="", repr=False)


SENDER_NAME = "callgate"
_TARGET_DIGITS = 8
# Seven bits everywhere: no server on the way has to know more.
_POLICY = MAIL_POLICY.clone(cte_type="7bit")


def mail_of(
    told: Told, *, sender: str, number: int, file: NoticeFile | None = None
) -> EmailMessage:
    """Write the mail of a notice to its target.

    Its Message-ID is the same each time that this mail is sent, and another one in each round
    (`number`) that somebody asked for: so where one comes twice, the reader's side can tell.
    """
    rendered = render(told)
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = Address(SENDER_NAME, addr_spec=sender)
    mail["To"] = Address(addr_spec=told.target)
    mail["Subject"] = rendered.subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(told.time_ms // 1_000, UTC))
    mail["Message-ID"] = message_id(told, sender=sender, number=number)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(rendered.text)
    mail.add_alternative(rendered.html, subtype="html")
    if file is not None:
        subtype = "plain" if file.name.endswith(".jsonl") else "csv"
        # Bytes as they are, for their checksum; texts would have their lines broken anew.
        mail.add_attachment(
            file.body,
            maintype="text",
            subtype=subtype,
            filename=file.name,
            params={"charset": "utf-8"},
        )
    # Last, because whoever sets the content takes away what was said of another one.
    mail["Content-Language"] = rendered.language
    return mail


def message_id(told: Told, *, sender: str, number: int) -> str:
    """Name a mail: by its notice, its target and its round."""
    target = hashlib.sha256(told.target.encode()).hexdigest()[:_TARGET_DIGITS]
    return f"<{told.notice_id}.{target}.{number}@{sender.rpartition('@')[2]}>"
