"""Building the courier from the settings, and how often it does each thing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from server.notices.sender import Sender
from server.notices.smtp import SmtpClient
from server.settings import Settings
from server.settings.kept_key import kept_key
from server.storage.sql.database import Database
from server.transport.http import OutgoingHttp

KEY_FILE = "webhooks.key"
_ROUND_SECONDS = 0.5
_TIDY_ROUND_SECONDS = 600.0
_COUNT_ROUND_SECONDS = 5.0


def make_courier(settings: Settings, database: Database, now_ms: Callable[[], int]) -> Sender:
    """Build a courier; nothing connects yet. Raises OSError where its key cannot be kept."""
    postman = None
    if settings.smtp_url is not None:
        postman = SmtpClient(settings.smtp_url, settings.smtp_from)
    return Sender(
        database=database,
        now_ms=now_ms,
        postman=postman,
        outgoing=OutgoingHttp(settings.outgoing_hosts),
        webhook_key=webhook_key_of(settings),
    )


def webhook_key_of(settings: Settings) -> bytes:
    """Give what tenants' keys are made of. Raises OSError where it cannot be kept."""
    return kept_key(settings.webhook_key, settings.data_folder, KEY_FILE)


def duties_of(courier: Sender) -> Iterator[tuple[Callable[[], Awaitable[None]], float]]:
    """List what a courier does, each with the seconds between two rounds.

    Each for itself, so that a slow webhook keeps no mail waiting.
    """
    yield courier.address, _ROUND_SECONDS
    yield courier.send_mails, _ROUND_SECONDS
    yield courier.send_webhooks, _ROUND_SECONDS
    yield courier.tidy, _TIDY_ROUND_SECONDS
    yield courier.count, _COUNT_ROUND_SECONDS
