"""What a language is made of, and how it writes amounts, times and minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from policy.money import written

_SECONDS_PER_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Wording:
    """One kind of notice. Braces name fields; `rows` are labels and fields of a small table."""

    subject: str
    paragraphs: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Language:
    """All words of one language. `wordings` are by the kind of notice; so are the variants."""

    code: str
    thousands: str
    decimal: str
    months: tuple[str, ...]
    wordings: Mapping[str, Wording]
    # Why a recharge failed, and which minutes a pool counts; what is not there is shown as it is.
    reasons: Mapping[str, str]
    counters: Mapping[str, str]
    footer: str

    def money(self, micros: int, currency: str) -> str:
        """Write an amount exactly: "1,250.00 USD", "1.250,00 EUR", "3,000 JPY"."""
        whole, point, decimals = written(micros, currency).partition(".")
        grouped = f"{int(whole):,}".replace(",", self.thousands)
        sign = "-" if micros < 0 and not grouped.startswith("-") else ""
        return f"{sign}{grouped}{point and self.decimal}{decimals} {currency}"

    def minutes(self, seconds: int) -> str:
        """Write whole minutes, the begun one counted."""
        minutes = -(-seconds // _SECONDS_PER_MINUTE)  # Rounds up.
        return f"{minutes:,}".replace(",", self.thousands) + " min"

    def moment(self, time_ms: int, time_zone: str) -> str:
        """Write a time where the tenant is: "22 November 2026, 17:40 (Europe/Rome)"."""
        there = datetime.fromtimestamp(time_ms // 1_000, UTC).astimezone(ZoneInfo(time_zone))
        month = self.months[there.month - 1]
        return f"{there.day} {month} {there.year}, {there:%H:%M} ({time_zone})"
