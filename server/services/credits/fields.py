"""What requests for money to move may hold: ids, amounts, times, notes."""

from __future__ import annotations

import re

from google.protobuf.timestamp_pb2 import Timestamp

from callgate.v1.money_pb2 import Money
from policy.rating import MAX_WHOLE_NUMBER
from policy.unseen import CONTROLS
from server.calls.messages.fields import InvalidRequest

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LOT_ID = re.compile(r"[!-~]{1,192}")
_NOTE = re.compile(f"[^{CONTROLS}]{{0,256}}")
_MS, _NANOS_PER_MS = 1_000, 1_000_000
_MOST_YEARS_MS = 10 * 366 * 86_400_000


def request_id(value: str, field: str = "request_id") -> str:
    """Check the caller's own id of a request."""
    if not _REQUEST_ID.fullmatch(value):
        raise InvalidRequest(field, "1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'")
    return value


def lot_id(value: str) -> str:
    """Check the id of a lot."""
    if not _LOT_ID.fullmatch(value):
        raise InvalidRequest("lot_id", "1 to 192 characters of printable ASCII without space")
    return value


def note(value: str, field: str = "note") -> str:
    """Check what is written down for people."""
    if not _NOTE.fullmatch(value):
        raise InvalidRequest(
            field,
            "at most 256 characters, none of them a control or a direction mark",
        )
    return value


def amount_micros(value: Money, currency: str, *, field: str = "amount", least: int = 1) -> int:
    """Check an amount in the tenant's currency; nothing, and less than nothing, moves nothing."""
    if value.currency_code != currency:
        raise InvalidRequest(f"{field}.currency_code", f"the tenant's currency, {currency}")
    if not least <= value.micros <= MAX_WHOLE_NUMBER:
        raise InvalidRequest(f"{field}.micros", f"a whole number from {least} to 2^53 - 1")
    return value.micros


def require_space(micros: int, balance_micros: int) -> None:
    """Check that a balance can hold so much more."""
    most = MAX_WHOLE_NUMBER - balance_micros
    if micros > most:
        raise InvalidRequest("amount.micros", f"at most {most}: a balance holds up to 2^53 - 1")


def expire_ms(value: Timestamp, now_ms: int) -> int:
    """Check when a lot is to expire: later than now, within ten years."""
    time_ms = value.seconds * _MS + value.nanos // _NANOS_PER_MS
    if not now_ms < time_ms <= now_ms + _MOST_YEARS_MS:
        raise InvalidRequest("expire_time", "later than now, and within ten years")
    return time_ms


def past_ms(value: Timestamp, field: str) -> int:
    """Check a time to look at."""
    time_ms = value.seconds * _MS + value.nanos // _NANOS_PER_MS
    if not 0 <= time_ms <= MAX_WHOLE_NUMBER:
        raise InvalidRequest(field, "a time since 1970")
    return time_ms
