"""What lapses is given back, whatever became of the call beside it, and whatever the clock does."""

from __future__ import annotations

import pytest

from ledgers import START_MS, TENANT, YEAR_MS, ManualClock, UnderTest, an_account, ask
from records import damage_line
from server.ledger import LedgerDamaged, TopUp
from server.ledger.keys import call_key, keys_of, partition_of
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store
from server.storage.redis.references import call_reference

HOUR_SECONDS = 3_600
MINUTE_MICROS = 100_000


async def damage(store: Store, *call_ids: str) -> None:
    for call_id in call_ids:
        key = call_key(TENANT, call_reference(TENANT, call_id))
        await damage_line(store, key, "held", "nonsense")


async def test_calls_behind_damaged_ones_lapse_as_ever(
    redis_ledger: RedisLedger, store: Store, clock: ManualClock
) -> None:
    await redis_ledger.open_account(an_account(3 * MINUTE_MICROS))
    for call_id in ("broken-1", "broken-2", "sound"):
        await redis_ledger.reserve(ask(call_id))
        clock.pass_seconds(1)
    await damage(store, "broken-1", "broken-2")
    clock.pass_seconds(HOUR_SECONDS)

    given_back = [await redis_ledger.expire(partition_of(TENANT), 1) for _ in range(3)]

    assert sum(given_back) == 1
    assert (await redis_ledger.read_balance(TENANT)).available_micros == MINUTE_MICROS


async def test_nobody_is_refused_or_fails_for_somebody_else_s_damaged_call(
    redis_ledger: RedisLedger, store: Store, clock: ManualClock
) -> None:
    await redis_ledger.open_account(an_account(2 * MINUTE_MICROS))
    await redis_ledger.reserve(ask("broken"))
    await redis_ledger.reserve(ask("sound"))
    await damage(store, "broken")
    clock.pass_seconds(HOUR_SECONDS)

    answer = await redis_ledger.reserve(ask("new"))

    assert answer.granted_seconds == 60


async def test_a_damaged_index_is_told_and_leaves_what_is_held(
    redis_ledger: RedisLedger, store: Store
) -> None:
    await redis_ledger.open_account(an_account(MINUTE_MICROS))
    await redis_ledger.reserve(ask("call"))
    await store.command("SET", keys_of(TENANT).expiry, "x")

    with pytest.raises(LedgerDamaged):
        await redis_ledger.expire(partition_of(TENANT), 1)


async def test_what_lapsed_before_the_clock_ran_back_is_given_back_after_it(
    under_test: UnderTest,
) -> None:
    ledger, clock = under_test.ledger, under_test.clock
    await ledger.open_account(an_account(MINUTE_MICROS))
    await ledger.reserve(ask("silent"))
    clock.pass_seconds(HOUR_SECONDS)
    # Something of the partition happens at that time, so that it is the partition's time.
    await ledger.top_up(TopUp(TENANT, "a-micro", 1, START_MS + YEAR_MS))
    clock.pass_seconds(-HOUR_SECONDS)

    given_back = await ledger.expire(partition_of(TENANT), 100)

    assert given_back == 1


async def test_a_clock_that_ran_back_refuses_nobody_over_money_that_nobody_holds(
    under_test: UnderTest,
) -> None:
    ledger, clock = under_test.ledger, under_test.clock
    await ledger.open_account(an_account(MINUTE_MICROS))
    await ledger.reserve(ask("silent"))
    clock.pass_seconds(HOUR_SECONDS)
    await ledger.top_up(TopUp(TENANT, "a-micro", 1, START_MS + YEAR_MS))
    clock.pass_seconds(-HOUR_SECONDS)

    answer = await ledger.reserve(ask("new", want=120))

    assert answer.granted_seconds == 60
