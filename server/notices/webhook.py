"""From a notice to the event that a webhook gets."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime

import msgspec

from server.notices.rendering import Told
from server.transport.http import WebhookKey


def event_body(told: Told) -> bytes:
    """Write the event as JSON: facts as they are, whole numbers with their unit in the name."""
    time = datetime.fromtimestamp(told.time_ms / 1_000, UTC)
    event = {
        "id": told.notice_id,
        "type": told.kind.value,
        "tenant_id": told.tenant_id,
        "timestamp": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": dict(told.facts),
    }
    return msgspec.json.encode(event)


def tenant_key(master: bytes, tenant_id: str) -> WebhookKey:
    """Derive the key of a tenant: what one tenant knows is of no use against another."""
    return WebhookKey(hmac.digest(master, b"webhook " + tenant_id.encode(), hashlib.sha256))
