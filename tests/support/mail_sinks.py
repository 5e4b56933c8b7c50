"""A real SMTP server that keeps what it is handed, and that does as it is told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from threading import Thread
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

CERTIFICATES = Path(__file__).parent / "certificates"
USER, PASSWORD = "callgate", "open sesame"


@dataclass(slots=True)
class MailSink:
    """Takes every mail, unless it was told otherwise. It listens on a port of its own."""

    mails: list[EmailMessage] = field(default_factory=list)
    # By recipient: what is answered to RCPT, and to the mail itself, in place of 250.
    recipient_answers: dict[str, str] = field(default_factory=dict)
    mail_answers: dict[str, str] = field(default_factory=dict)
    # Set: a mail is taken, and its connection is cut before the answer.
    cut_after: bool = False
    # How long a mail is looked through before it is answered.
    slow_seconds: float = 0.0
    # Set when the first mail is looked through.
    busy: asyncio.Event = field(default_factory=asyncio.Event)
    tls: bool = False
    login: bool = False
    port: int = 0
    connections: int = 0
    _server: asyncio.Server | None = None

    def of(self, recipient: str) -> list[EmailMessage]:
        """List what one address got."""
        return [mail for mail in self.mails if mail["To"] == recipient]

    async def start(self) -> None:
        """Listen, on the same port as before if it was stopped."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._smtp, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be gone: connections are refused."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def _smtp(self) -> SMTP:
        self.connections += 1
        more: dict[str, Any] = {}
        if self.tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(CERTIFICATES / "server.crt", CERTIFICATES / "server.key")
            more |= {"tls_context": context, "require_starttls": True}
        if self.login:
            more |= {"authenticator": _authenticate, "auth_required": True}
        return SMTP(self, hostname="sink.test", **more)

    async def handle_RCPT(  # noqa: N802 -- The library's name.
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.recipient_answers.get(address, "250 OK")

    async def handle_DATA(  # noqa: N802 -- The library's name.
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        (recipient,) = envelope.rcpt_tos
        self.busy.set()
        await asyncio.sleep(self.slow_seconds)
        answer = self.mail_answers.get(recipient, "250 OK")
        if answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            mail = message_from_bytes(envelope.content, policy=default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
        if self.cut_after:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return answer


@asynccontextmanager
async def mail_sink(sink: MailSink | None = None) -> AsyncIterator[MailSink]:
    """Run a sink while the block lasts."""
    sink = sink or MailSink()
    await sink.start()
    try:
        yield sink
    finally:
        await sink.stop()


async def _end(sink: MailSink) -> None:
    """Be gone, with every conversation that is still open."""
    await sink.stop()
    talking = asyncio.all_tasks() - {asyncio.current_task()}
    for task in talking:
        task.cancel()
    await asyncio.gather(*talking, return_exceptions=True)


def text_of(mail: EmailMessage, kind: str = "plain") -> str:
    """Read the text of a mail, or its HTML."""
    body = mail.get_body((kind,))
    assert isinstance(body, EmailMessage)
    content: str = body.get_content()
    return content


def _authenticate(
    _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
) -> AuthResult:
    good = isinstance(data, LoginPassword) and data == LoginPassword(
        USER.encode(), PASSWORD.encode()
    )
    # Not handled: else nobody would answer a wrong password.
    return AuthResult(success=good, handled=good)


@contextmanager
def sink_in_a_thread() -> Iterator[MailSink]:
    """Run a sink on a loop of its own, for tests that wait for other processes."""
    sink, loop = MailSink(), asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(sink.start(), loop).result(5)
        yield sink
    finally:
        asyncio.run_coroutine_threadsafe(_end(sink), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
