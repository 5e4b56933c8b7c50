"""From a notice to a mail: its headers, and text and HTML side by side."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from server.notices.rendering import Told, render

SENDER_NAME = "callgate"
_TARGET_DIGITS = 8
# Seven bits everywhere: no server on the way has to know more.
_POLICY = SMTP.clone(cte_type="7bit")


def mail_of(told: Told, *, sender: str, number: int) -> EmailMessage:
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
    # Last, because whoever sets the content takes away what was said of another one.
    mail["Content-Language"] = rendered.language
    return mail


def message_id(told: Told, *, sender: str, number: int) -> str:
    """Name a mail: by its notice, its target and its round."""
    target = hashlib.sha256(told.target.encode()).hexdigest()[:_TARGET_DIGITS]
    return f"<{told.notice_id}.{target}.{number}@{sender.rpartition('@')[2]}>"
