"""However many processes ask at once, no more is granted than there is."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from ledger_rush import rush
from ledgers import an_account
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store, StoreClock
from stores import SINGLE, empty

FIRST_INCREMENT_MICROS = 100_000
YEAR_2100_MS = 4_102_444_800_000


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize(("calls", "increments"), [(100, 5), (28, 1)])
async def test_a_hundred_calls_at_once_get_what_there_is(
    urls: dict[str, str], kind: str, calls: int, increments: int
) -> None:
    """A1: credit for five first increments grants exactly five, of 60 s each."""
    store = Store(urls[kind])
    await empty(store)
    clock = StoreClock(store)
    await clock.refresh()
    ledger = RedisLedger(store, clock)
    await ledger.install()
    money = increments * FIRST_INCREMENT_MICROS
    await ledger.open_account(an_account(money, expire_ms=YEAR_2100_MS))

    granted = await asyncio.to_thread(rush, urls[kind], calls)

    assert Counter(granted) == {60: increments, 0: calls - increments}
    balance = await ledger.read_balance("contoso")
    assert (balance.available_micros, balance.reserved_micros) == (0, money)
    await store.close()
