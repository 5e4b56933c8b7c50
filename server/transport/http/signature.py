"""Signed events, both ways: who wrote them, and when. The form is that of Standard Webhooks.

Three headers travel with the body: `webhook-id`, `webhook-timestamp` (seconds since 1970) and
`webhook-signature`, which holds "v1," and the Base64 of an HMAC-SHA256 over id, timestamp and the
raw body, joined by dots. Several signatures, of an old and a new key, stand beside each other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

WINDOW_SECONDS = 300
KEY_PREFIX = "whsec_"
LEAST_KEY_BYTES, MOST_KEY_BYTES = 24, 64
MAX_EVENT_ID_CHARACTERS = 64
# Signatures of one event that are looked at.
_MOST_SIGNATURES = 8
_EVENT_ID = re.compile(rf"[!-~]{{1,{MAX_EVENT_ID_CHARACTERS}}}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class SignatureWrong(Exception):
    """An event that we do not believe, and why."""


@dataclass(frozen=True, slots=True)
class WebhookKey:
    """A secret that two sides share."""

    secret: bytes = field(repr=False)

    @classmethod
    def read(cls, text: str) -> WebhookKey:
        """Read "whsec_" and the Base64 of 24 to 64 bytes. Raises ValueError."""
        if not text.startswith(KEY_PREFIX):
            raise ValueError(f"a key begins with {KEY_PREFIX}")
        try:
            secret = base64.b64decode(text.removeprefix(KEY_PREFIX), validate=True)
        except binascii.Error as error:
            raise ValueError(f"a key is Base64 after {KEY_PREFIX}") from error
        if not LEAST_KEY_BYTES <= len(secret) <= MOST_KEY_BYTES:
            raise ValueError(f"a key has {LEAST_KEY_BYTES} to {MOST_KEY_BYTES} bytes")
        return cls(secret)

    @property
    def text(self) -> str:
        """The key as `read` takes it, for who shares it."""
        return KEY_PREFIX + base64.b64encode(self.secret).decode()

    def sign(self, event_id: str, body: bytes, *, now_ms: int) -> dict[str, str]:
        """Make the headers that go with an event."""
        timestamp = str(now_ms // 1_000)
        return {
            "webhook-id": event_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{self._signature(event_id, timestamp, body)}",
        }

    def verify(self, headers: Mapping[str, str], body: bytes, *, now_ms: int) -> str:
        """Check an event that came in and return its id. Raises `SignatureWrong`.

        The names of `headers` are in lower case. Whether the id came before is for the caller to
        know: `note_event` of the archive's webhook events does.
        """
        event_id = headers.get("webhook-id", "")
        timestamp = headers.get("webhook-timestamp", "")
        if not _EVENT_ID.fullmatch(event_id) or not _TIMESTAMP.fullmatch(timestamp):
            raise SignatureWrong("webhook-id or webhook-timestamp is missing or malformed")
        expected = self._signature(event_id, timestamp, body)
        given = headers.get("webhook-signature", "").split(" ", _MOST_SIGNATURES)
        if not any(_is_same(each, expected) for each in given[:_MOST_SIGNATURES]):
            raise SignatureWrong("no signature of ours is right")
        if abs(now_ms // 1_000 - int(timestamp)) > WINDOW_SECONDS:
            raise SignatureWrong(f"signed more than {WINDOW_SECONDS} s ago, or ahead")
        return event_id

    def _signature(self, event_id: str, timestamp: str, body: bytes) -> str:
        signed = f"{event_id}.{timestamp}.".encode() + body
        return base64.b64encode(hmac.digest(self.secret, signed, hashlib.sha256)).decode()


def _is_same(given: str, expected: str) -> bool:
    version, _, signature = given.partition(",")
    # Compared as bytes: a header may hold what is not ASCII.
    return version == "v1" and hmac.compare_digest(signature.encode(), expected.encode())
