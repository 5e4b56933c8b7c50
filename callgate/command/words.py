"""Money, durations, numbers of an enum: the way a person reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.money_pb2 import Money

_MICROS_PER_UNIT = 1_000_000
_MOST_MICROS = 2**53
_AMOUNT = re.compile(r"[0-9]{1,16}(\.[0-9]{1,6})?")
_DECIMALS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"), 0),
    **dict.fromkeys(("RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}


def money(amount: Money) -> str:
    """Write an amount exactly: "0.012 USD", "1,250.00 EUR", "3,000 JPY"."""
    units = Decimal(amount.micros) / _MICROS_PER_UNIT
    whole, _, fraction = f"{units:,.6f}".partition(".")
    decimals = fraction.rstrip("0").ljust(decimals_of(amount.currency_code), "0")
    return f"{whole}{'.' if decimals else ''}{decimals} {amount.currency_code}"


def micros_of(text: str) -> int:
    """Read an amount as a person writes it: "25", "12.50". Raises `ValueError`."""
    if not _AMOUNT.fullmatch(text):
        raise ValueError(text)
    micros = int(Decimal(text) * _MICROS_PER_UNIT)
    if micros >= _MOST_MICROS:
        raise ValueError(text)
    return micros


def decimals_of(currency: str) -> int:
    """Say how many decimals ISO 4217 gives a currency; two to one that it does not know."""
    return _DECIMALS.get(currency, 2)


def minutes(duration: Duration) -> str:
    """Write a duration in minutes and seconds: "10 min", "1 min 30 s", "45 s"."""
    whole, seconds = divmod(duration.seconds, 60)
    if whole and seconds:
        return f"{whole:,} min {seconds} s"
    return f"{whole:,} min" if whole else f"{seconds} s"


def clock(instant: Timestamp) -> str:
    """Write an instant to the second, in UTC: "2026-11-22 17:40:03 UTC"."""
    return f"{instant.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"


def place(destination: pb.Destination) -> str:
    """Write where a number leads: "Italy, Rome (IT)"."""
    if not destination.label:
        return destination.country
    return f"{destination.label} ({destination.country})"


def reason(value: pb.Reason.ValueType) -> str:
    """Write a reason in words: "licence missing". A newer server's is told by its number."""
    if value not in pb.Reason.values():
        return f"reason {value}"
    return pb.Reason.Name(value).removeprefix("REASON_").replace("_", " ").lower()


def payer(account: pb.Payer) -> str:
    """Write who pays: "adele of contoso", "tenant contoso"."""
    if not account.account_id or account.kind == pb.PAYER_KIND_TENANT:
        return f"tenant {account.tenant_id}"
    role = {
        pb.PAYER_KIND_ORGANIZER: "organizer ",
        pb.PAYER_KIND_RESOURCE_ACCOUNT: "resource account ",
    }.get(account.kind, "")
    return f"{role}{account.account_id} of {account.tenant_id}"


def purse(source: pb.Purse) -> str:
    """Write what pays: "minutes of pool US:MCOPSTN1, domestic, 2026-11", "credits"."""
    if source.kind == pb.PURSE_KIND_POOL:
        return f"minutes of pool {source.pool_id}, {source.counter}, {source.period}"
    if source.kind == pb.PURSE_KIND_CREDITS:
        return "credits"
    return "free of charge"


def price(rate: pb.Price) -> str:
    """Write a price: "0.02 USD a minute, charged by 60 s, then by 6 s"."""
    first, further = rate.first_increment.seconds, rate.next_increment.seconds
    charged = f"by {first} s" if first == further else f"by {first} s, then by {further} s"
    told = f"{money(rate.per_minute)} a minute, charged {charged}"
    if rate.connection_fee.micros:
        told += f", and {money(rate.connection_fee)} to connect"
    return told


def table(rows: Sequence[Sequence[str]]) -> str:
    """Write rows in columns, the first one as the heads."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines)
