"""How long credits are good for: calendar months where their tenant is, or whole days."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

_MS, _MS_PER_DAY, _MONTHS_PER_YEAR = 1_000, 86_400_000, 12


@dataclass(frozen=True, slots=True)
class LotLife:
    """The life of a lot. Days count if there are any."""

    months: int = 12
    days: int = 0

    def expire_ms(self, purchase_ms: int, time_zone: str) -> int:
        """Say when a lot expires: on the same day and at the same time of a later month.

        Where that month has no such day, on its last one.
        """
        if self.days:
            return purchase_ms + self.days * _MS_PER_DAY
        whole_seconds, rest_ms = divmod(purchase_ms, _MS)
        bought = datetime.fromtimestamp(whole_seconds, UTC).astimezone(ZoneInfo(time_zone))
        years, month = divmod(bought.month - 1 + self.months, _MONTHS_PER_YEAR)
        year = bought.year + years
        day = min(bought.day, calendar.monthrange(year, month + 1)[1])
        over = bought.replace(year=year, month=month + 1, day=day)
        return int(over.timestamp()) * _MS + rest_ms
