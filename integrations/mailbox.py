"""A mail server for a while, on this machine alone: keeps what it is handed, delivers nothing.

with mailbox() as box:
    own_engine({"CALLGATE_SMTP_URL": box.url, ...})
    box.wait_for("recharged")
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from threading import Thread

from aiosmtpd.smtp import SMTP, Envelope, Session

_POLL_SECONDS = 0.05


@dataclass(slots=True)
class Mailbox:
    """All mails, in the order in which they came."""

    mails: list[EmailMessage] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """The setting `smtp_url` for it."""
        return f"smtp://127.0.0.1:{self.port}"

    def wait_for(self, count: int, seconds: float) -> bool:
        """Wait until so many mails have come; False where they do not."""
        give_up_at = time.monotonic() + seconds
        while len(self.mails) < count:
            if time.monotonic() > give_up_at:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    async def handle_DATA(  # noqa: N802 -- The library's name.
        self, _smtp: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Take a mail."""
        assert isinstance(envelope.content, bytes), "mails are kept as they come"
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage), "the policy makes messages of this kind"
        self.mails.append(mail)
        return "250 Kept"


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """Run a mail server on a free port until the block ends."""
    box, loop = Mailbox(), asyncio.new_event_loop()
    listening = loop.create_server(lambda: SMTP(box, hostname="demo.invalid"), "127.0.0.1", 0)
    smtp = loop.run_until_complete(listening)
    box.port = smtp.sockets[0].getsockname()[1]
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield box
    finally:
        asyncio.run_coroutine_threadsafe(_end(smtp), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(smtp: asyncio.Server) -> None:
    """Listen no longer, and end every conversation that is still open."""
    smtp.close()
    talking = asyncio.all_tasks() - {asyncio.current_task()}
    for task in talking:
        task.cancel()
    await asyncio.gather(*talking, return_exceptions=True)


def text_of(mail: EmailMessage) -> str:
    """Read the text of a mail."""
    body = mail.get_body(("plain",))
    assert isinstance(body, EmailMessage), "a notice has a text"
    content: str = body.get_content()
    return content
