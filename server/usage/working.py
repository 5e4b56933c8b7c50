"""What the processes have in common that play usage: the sums that came of it."""

from __future__ import annotations

import resource
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from policy.facts import Catalogue, Tenant
from server.facts.files.telling import Progressed, tell
from server.storage.sql.database import Database
from server.usage.back_test import BackTest, Key, Played, Sums
from server.usage.reading import Period, Span

# More than the largest file and a full catalogue need: a workbook may unpack without end.
MAX_MEMORY_BYTES: Final = 4 * 1024 * 1024 * 1024
# Of accounts and of countries, those that change most.
MAX_TOLD_SUMS: Final = 1_000


class ToldSum(msgspec.Struct, frozen=True):
    """Calls of one currency, and of one account or country where it is named."""

    currency: str
    tenant_id: str = ""
    account_id: str = ""
    country: str = ""
    calls: int = 0
    seconds: int = 0
    charged_micros: int = 0
    would_micros: int = 0
    refused_calls: int = 0
    refused_micros: int = 0


class Cost(msgspec.Struct, frozen=True, tag="cost"):
    """What a period would have cost."""

    from_ms: int
    until_ms: int
    rates_at_ms: int
    totals: list[ToldSum]
    accounts: list[ToldSum]
    countries: list[ToldSum]
    refusals: dict[str, int]
    left_out: int


async def play(
    database: Database,
    span: Span,
    catalogue: Catalogue,
    *,
    tenants: dict[str, Tenant] | None = None,
) -> Cost:
    """Play a span of usage, and tell how far it is. Raises `ArchiveUnavailable`."""
    test = BackTest(catalogue, tenants, rates_at_ms=span.rates_at_ms)
    period = Period(database, span)

    def progress(done: int, total: int) -> None:
        tell(Progressed("playing", done, total))

    progress(0, 0)
    async for calls in period.calls(progress):
        test.play_all(calls)
    return _cost(span, test.played)


def _cost(span: Span, played: Played) -> Cost:
    return Cost(
        from_ms=span.from_ms,
        until_ms=span.until_ms,
        rates_at_ms=span.rates_at_ms,
        totals=[_told(sums, currency=key) for key, sums in sorted(played.totals.items())],
        accounts=[
            _told(sums, currency=currency, tenant_id=tenant_id, account_id=account_id)
            for (currency, tenant_id, account_id), sums in _most(played.by_account.items())
        ],
        countries=[
            _told(sums, currency=currency, country=country)
            for (currency, country), sums in _most(played.by_country.items())
        ],
        refusals={reason.name: count for reason, count in sorted(played.refusals.items())},
        left_out=played.left_out,
    )


def _most(sums: Iterable[tuple[Key, Sums]]) -> Collection[tuple[Key, Sums]]:
    def change(item: tuple[Key, Sums]) -> tuple[int, Key]:
        key, each = item
        return -abs(each.would_micros - each.charged_micros), key

    return sorted(sums, key=change)[:MAX_TOLD_SUMS]


def _told(
    sums: Sums, *, currency: str, tenant_id: str = "", account_id: str = "", country: str = ""
) -> ToldSum:
    return ToldSum(
        currency=currency,
        tenant_id=tenant_id,
        account_id=account_id,
        country=country,
        calls=sums.calls,
        seconds=sums.seconds,
        charged_micros=sums.charged_micros,
        would_micros=sums.would_micros,
        refused_calls=sums.refused_calls,
        refused_micros=sums.refused_micros,
    )


def bound_memory() -> None:
    """End this process before the machine is out of memory, whatever a file unpacks to."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MAX_MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(hard, MAX_MEMORY_BYTES)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
