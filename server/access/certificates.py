"""Until when a certificate is good: the one fact of it that no library at hand tells of PEM."""

from __future__ import annotations

import datetime as dt
import ssl
from functools import lru_cache

_MS = 1_000
_LONG_FORM = 0x80
_VERSION = 0xA0
_UTC_TIME = 0x17
_FORMATS = {_UTC_TIME: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
# Serial number, signature algorithm, issuer: what stands before the time (RFC 5280, section 4.1).
_FIELDS_BEFORE = 3


# A connection shows the same bytes with each RPC.
@lru_cache(maxsize=4_096)
def end_ms(pem: bytes) -> int:
    """Read when a certificate is over. Raises `ValueError` where it is none."""
    der = ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))
    at, _, _ = _open(der, 0)
    at, _, _ = _open(der, at)
    if der[at] == _VERSION:
        at = _after(der, at)
    for _ in range(_FIELDS_BEFORE):
        at = _after(der, at)
    validity, _, _ = _open(der, at)
    begin, end, kind = _open(der, _after(der, validity))
    text = der[begin:end].decode("ascii")
    told = dt.datetime.strptime(text, _FORMATS[kind]).replace(tzinfo=dt.UTC)
    return int(told.timestamp()) * _MS


def _open(der: bytes, at: int) -> tuple[int, int, int]:
    """Say where the content of the value at a place begins and ends, and of what kind it is."""
    length, begin = der[at + 1], at + 2
    if length & _LONG_FORM:
        size = length & ~_LONG_FORM
        length, begin = int.from_bytes(der[begin : begin + size], "big"), begin + size
    return begin, begin + length, der[at]


def _after(der: bytes, at: int) -> int:
    return _open(der, at)[1]
