"""Handing mails over to a mail server, and telling apart what went wrong."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import TYPE_CHECKING

from server.settings.mail_server import MailServer, MailTls

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


class Postman:
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
