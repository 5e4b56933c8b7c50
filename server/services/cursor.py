"""Cursors: a place in a journal as callers carry it, to be given back and not looked into."""

from __future__ import annotations

import base64
import binascii
import re

from server.calls.messages.fields import InvalidRequest
from server.ledger.journal import Place
from server.ledger.keys import partition_of

_LAYOUT = "1"
_PLACE = re.compile(r"1 (\d{1,3}) (\d{1,16}) (\d{1,16}) ([!-~]{1,64})")
_MAX_CHARACTERS = 200


def cursor_of(place: Place) -> str:
    """Write a place as a cursor."""
    text = f"{_LAYOUT} {place.partition} {place.epoch} {place.n} {place.nonce}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, tenant_id: str) -> Place:
    """Read a cursor of a tenant's. Raises `InvalidRequest`."""
    found = _PLACE.fullmatch(_decode(cursor)) if len(cursor) <= _MAX_CHARACTERS else None
    if found is None or int(found[1]) != partition_of(tenant_id):
        raise InvalidRequest("cursor", "one that came with an earlier response of the same tenant")
    return Place(int(found[1]), int(found[2]), int(found[3]), found[4])


def _decode(cursor: str) -> str:
    try:
        padding = "=" * (-len(cursor) % 4)
        return base64.b64decode(cursor + padding, altchars="-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
