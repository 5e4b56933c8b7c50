"""Kinds of settings for money that comes in: who takes it, and the key that is shared with them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from enum import StrEnum

from server.settings.kinds import Kind

_KEY_PREFIX = "whsec_"
_LEAST_KEY_BYTES, _MOST_KEY_BYTES = 24, 64


# ISO 4217: what amounts are kept in.
_CURRENCY = re.compile(r"[A-Z]{3}")


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


def units_by_currency(most: int) -> Kind[Mapping[str, int]]:
    """Read whole units of currencies: a table, or one text such as "JPY=3000,KRW=30000"."""

    def read(value: object) -> Mapping[str, int]:
        pairs: object = value
        if isinstance(value, str):
            words = [word.strip() for word in value.split(",") if word.strip()]
            pairs = {name: int(units) for name, _, units in (word.partition("=") for word in words)}
        if not isinstance(pairs, Mapping):
            raise ValueError(value)
        for name, units in pairs.items():
            if not _CURRENCY.fullmatch(str(name)) or type(units) is not int:
                raise ValueError(value)
            if not 1 <= units <= most:
                raise ValueError(value)
        return dict(pairs)

    takes = f'a table of currencies, as {{ JPY = 3000 }} or "JPY=3000", from 1 to {most} each'
    return Kind(takes, read)
