"""Kinds of settings for money that comes in: who takes it, and the key that is shared with them."""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum

from server.settings.kinds import Kind

_KEY_PREFIX = "whsec_"
_LEAST_KEY_BYTES, _MOST_KEY_BYTES = 24, 64


class Provider(StrEnum):
    """Who takes money from tenants' means of payment."""

    OFF = "off"
    BILLING = "billing"
    STRIPE = "stripe"
    REHEARSAL = "rehearsal"


def key_or_none() -> Kind[str]:
    """Read a key that signs webhooks, or nothing."""

    def read(value: object) -> str:
        if value == "":
            return ""
        if not isinstance(value, str) or not value.startswith(_KEY_PREFIX):
            raise ValueError(value)
        try:
            key = base64.b64decode(value.removeprefix(_KEY_PREFIX), validate=True)
        except binascii.Error as error:
            raise ValueError(value) from error
        if not _LEAST_KEY_BYTES <= len(key) <= _MOST_KEY_BYTES:
            raise ValueError(value)
        return value

    takes = f'"{_KEY_PREFIX}" and the Base64 of {_LEAST_KEY_BYTES} to {_MOST_KEY_BYTES} bytes'
    return Kind(takes, read, is_secret=True)
