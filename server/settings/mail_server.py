"""The mail server that notices go through, as one setting."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from server.facts.directory.sections import MAIL_ADDRESS_PATTERN, MAX_ADDRESS_CHARACTERS
from server.notices.smtp import MailServer, MailTls
from server.settings.kinds import Kind

_PORTS = {MailTls.NEVER: 25, MailTls.STARTTLS: 587, MailTls.AT_ONCE: 465}


def is_mail_address(text: str) -> bool:
    """Tell whether this is an address of the plain kind: no quotes, no comments, no name."""
    return (
        len(text) <= MAX_ADDRESS_CHARACTERS and re.fullmatch(MAIL_ADDRESS_PATTERN, text) is not None
    )


def mail_server_or_none() -> Kind[MailServer | None]:
    """Read the URL of a mail server, or nothing. It may hold a password, so it is never shown."""
    return Kind(
        'a URL of smtp+starttls://user:password@host:587, smtps:// or smtp://, or "" for none',
        lambda value: None if value == "" else _mail_server(value),
        is_secret=True,
    )


def mail_address() -> Kind[str]:
    """Read a mail address, or nothing."""

    def read(value: object) -> str:
        if value != "" and not (isinstance(value, str) and is_mail_address(value)):
            raise ValueError(value)
        return str(value)

    return Kind('a mail address, such as "callgate@example.com"', read)


def _mail_server(value: object) -> MailServer:
    parts = urlsplit(str(value))
    tls = MailTls(parts.scheme)
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(value)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if bool(user) != bool(password):
        raise ValueError(value)
    if password and tls is MailTls.NEVER and parts.hostname not in {"127.0.0.1", "::1"}:
        raise ValueError(value)
    return MailServer(parts.hostname, parts.port or _PORTS[tls], tls, user, password)
