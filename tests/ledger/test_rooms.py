"""What is estimated to remain is what the ledger then grants."""

from __future__ import annotations

import pytest

from ledgers import a_rate, an_account, ask, by_the_second, credits_, extend, free, pool
from policy.decision import Purse
from policy.reasons import Reason
from server.ledger import AccountUnknown, CallKey
from server.ledger.estimates import RoomReader, read_purses, remaining_seconds
from server.ledger.redis_ledger import RedisLedger
from server.ledger.running_calls import CallReader
from server.storage.redis import Store

CASES: dict[str, tuple[Purse, ...]] = {
    "credits": (credits_(),),
    "credits by the second": (credits_(a_rate(per_minute=6_000, first=1, following=1)),),
    "credits with a fee": (credits_(a_rate(fee=30_000, first=30, following=6)),),
    "credits with an overdraft": (credits_(overdraft=250_000),),
    "credits with a spend limit": (credits_(limit=350_000),),
    "a pool": (pool(500),),
    "a pool, then credits": (pool(90), credits_(a_rate(fee=10_000))),
    "a pool that another counter stops": (pool(500, other_size=0), credits_()),
}


@pytest.mark.parametrize("purses", CASES.values(), ids=CASES)
async def test_what_remains_is_what_is_granted_next(
    store: Store, redis_ledger: RedisLedger, purses: tuple[Purse, ...]
) -> None:
    await redis_ledger.open_account(an_account(1_000_000))
    granted = await redis_ledger.reserve(ask("call-1", 1, *purses, want=60))

    remaining = await estimate(store)
    more = await redis_ledger.extend(extend("call-1", 2, 10, want=80_000))

    assert more.granted_seconds == granted.granted_seconds + (remaining or 0)
    assert await estimate(store) in {0, None}


async def test_what_others_hold_does_not_remain(store: Store, redis_ledger: RedisLedger) -> None:
    await redis_ledger.open_account(an_account(1_000))
    await redis_ledger.reserve(ask("call-1", 1, by_the_second(), want=100))
    await redis_ledger.reserve(ask("call-2", 1, by_the_second(), want=200))

    assert await estimate(store) == 700


async def test_credits_that_want_a_balance_remain_for_nobody_without_one(
    store: Store, redis_ledger: RedisLedger
) -> None:
    toll_free = credits_(overdraft=250_000, reason=Reason.TOLL_FREE_NEEDS_CREDIT)
    await redis_ledger.open_account(an_account(0))
    granted = await redis_ledger.reserve(ask("call-1", 1, pool(60), toll_free, want=60))

    remaining = await estimate(store)
    more = await redis_ledger.extend(extend("call-1", 2, 10, want=80_000))

    assert granted.granted_seconds == 60
    assert (remaining, more.granted_seconds) == (0, 60)


async def test_a_free_call_has_no_end(store: Store, redis_ledger: RedisLedger) -> None:
    await redis_ledger.open_account(an_account(0))
    await redis_ledger.reserve(ask("call-1", 1, free(), want=100))

    assert await estimate(store) is None


async def test_an_account_that_is_not_there_has_no_rooms(
    store: Store, redis_ledger: RedisLedger
) -> None:
    with pytest.raises(AccountUnknown):
        await RoomReader(store).read("nobody", ())


async def estimate(store: Store) -> int | None:
    known = await CallReader(store).read(CallKey("contoso", "sbc-1", "call-1"))
    kept = read_purses(known.purses_text)
    granted = {use.purse_index: use.seconds for use in known.answer.uses}
    for one in known.answer.segments:
        seconds = one.to_second - one.from_second
        granted[one.purse_index] = granted.get(one.purse_index, 0) + seconds
    rooms = await RoomReader(store).read("contoso", kept.purses)
    return remaining_seconds(kept, granted, rooms)
