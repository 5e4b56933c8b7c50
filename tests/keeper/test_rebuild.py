"""A store that lost all, or its tail, is noticed and filled anew; nothing is paid twice."""

from __future__ import annotations

import asyncio

import pytest

from keepers import PARTITION, SMALL_MS, House, context_of, drained, sought
from ledgers import YEAR_MS, a_question, by_the_second, credits_, pool
from policy.reasons import Reason
from server.ledger import (
    AccountUnknown,
    Balance,
    CallUnknown,
    DirectDebit,
    Refund,
    ReserveRequest,
    TopUp,
    Use,
)
from snapshots import copy_of, go_back_to


def require_sums(balance: Balance) -> None:
    """Invariant 1: what came in is there, held, spent or gone by a rule."""
    came = balance.funded_micros + balance.post_paid_micros + balance.refunded_micros
    went = balance.debited_micros + balance.expired_micros + balance.voided_micros
    assert came == (balance.available_micros or 0) + balance.reserved_micros + went


async def test_a_store_that_was_emptied_is_filled_from_the_archive(house: House) -> None:
    await house.open(balance=6_000_000)
    await house.reserve("call-1", 1, pool(45), credits_(), want=120)
    await house.settle("call-1", 2, 75)
    keeper = await drained(house)
    before = await house.balance()
    await house.store.command("FLUSHALL")

    with pytest.raises(AccountUnknown):
        await house.balance()
    await keeper.drain()

    assert await house.balance() == before
    assert keeper.figures.partitions_rebuilt == 1
    again = await house.reserve("call-2", 1, pool(45))
    assert again.reason is not None, "the pool's minutes stay used"


async def test_what_a_forgotten_call_held_is_there_again(house: House) -> None:
    await house.open(balance=6_000_000)
    await house.reserve("call-1", 1, by_the_second())
    keeper = await drained(house)
    await house.store.command("FLUSHALL")
    await keeper.drain()

    balance = await house.balance()

    assert (balance.available_micros, balance.reserved_micros) == (6_000_000, 0)
    require_sums(balance)


async def test_a_call_announced_again_pays_only_what_it_had_not_paid(house: House) -> None:
    await house.open(balance=6_000_000)
    await house.reserve("call-1", 1, credits_(), want=60)
    house.clock.pass_seconds(60)
    await house.reserve("call-1", 2, credits_(), want=60, used=60)
    keeper = await drained(house)
    assert (await house.balance()).debited_micros == 100_000
    await house.store.command("FLUSHALL")
    await keeper.drain()

    with pytest.raises(CallUnknown):
        await house.settle("call-1", 3, 90)
    found = await house.archive.find_call(sought())
    assert found is not None
    uses = tuple(Use(0, use.seconds, use.micros) for use in found.uses)
    await house.reserve("call-1", 3, credits_(), want=60, used=90, uses=uses)
    await house.settle("call-1", 4, 130)
    await keeper.drain()

    balance = await house.balance()
    assert balance.debited_micros == 300_000, "three minutes, as if nothing had happened"
    assert (await house.image()).account.debited_micros == 300_000
    records = await house.archive.usage("contoso", from_ms=0, to_ms=2**53)
    assert sum(record["charge_micros"] for record in records) == 300_000
    assert sum(record["duration_seconds"] for record in records) == 130
    require_sums(balance)


async def test_a_store_that_lost_its_tail_gives_nothing_back_that_was_debited(
    house: House,
) -> None:
    await house.open(balance=6_000_000)
    await house.reserve("call-1", 1, by_the_second(), want=100)
    keeper = await drained(house)
    old = await copy_of(house.store)
    await house.settle("call-1", 2, 80)
    await keeper.drain()

    await go_back_to(house.store, old)
    assert (await house.balance()).debited_micros == 0
    await keeper.drain()

    balance = await house.balance()
    assert (balance.debited_micros, balance.reserved_micros) == (80, 0)
    assert keeper.figures.partitions_rebuilt == 1
    require_sums(balance)


async def test_what_was_granted_on_a_store_without_its_tail_is_archived(house: House) -> None:
    await house.open(balance=6_000_000)
    keeper = await drained(house)
    old = await copy_of(house.store)
    for number in range(5):
        await house.reserve(f"lost-{number}", 1, by_the_second())
        await house.settle(f"lost-{number}", 2, 10)
    await keeper.drain()

    await go_back_to(house.store, old)
    for number in range(8):
        await house.reserve(f"after-{number}", 1, by_the_second())
        await house.settle(f"after-{number}", 2, 1)
    await keeper.drain()

    assert (await house.balance()).debited_micros == 58
    assert (await house.image()).account.debited_micros == 58
    require_sums(await house.balance())


async def test_a_call_that_both_halves_know_is_debited_once(house: House) -> None:
    await house.open(balance=6_000_000)
    await house.reserve("call-1", 1, by_the_second(), want=100)
    keeper = await drained(house)
    old = await copy_of(house.store)
    await house.reserve("call-1", 2, by_the_second(), want=100, used=80)
    await keeper.drain()

    await go_back_to(house.store, old)
    await house.settle("call-1", 3, 90)
    await keeper.drain()

    assert (await house.balance()).debited_micros == 90


async def test_no_record_of_a_call_outlives_the_store_it_came_from(house: House) -> None:
    await house.open(balance=6_000_000)
    await house.reserve("lapsed", 1, by_the_second(), want=60)
    await house.reserve("taken", 1, by_the_second(), want=60)
    house.clock.pass_seconds(3_600)
    await house.ledger.expire(PARTITION, 10)
    other = ReserveRequest(
        a_question("taken", 1, gateway="sbc-2"), (by_the_second(),), None, 60, context_of()
    )
    await house.ledger.reserve(other)
    keeper = await drained(house)
    old = await copy_of(house.store)
    await house.settle("lapsed", 2, 60)
    await house.settle("taken", 2, 60)
    await keeper.drain()
    # Long before the store goes back to it.
    house.clock.pass_seconds(2 * 86_400)
    await go_back_to(house.store, old)
    await keeper.drain()

    for call_id in ("lapsed", "taken"):
        with pytest.raises(CallUnknown):
            await house.settle(call_id, 2, 60)

    assert (await house.balance()).debited_micros == 120
    assert (await house.image()).account.debited_micros == 120


async def test_money_that_came_in_is_not_lost_with_the_tail(house: House) -> None:
    await house.open(balance=None)
    keeper = await drained(house)
    old = await copy_of(house.store)
    await house.open(balance=7_000)
    await keeper.drain()

    await go_back_to(house.store, old)
    await keeper.drain()
    await house.open(balance=7_000)

    assert (await house.balance()).funded_micros == 7_000


async def test_what_was_not_drained_is_all_that_is_lost(house: House) -> None:
    await house.open(balance=6_000_000)
    await house.reserve("call-1", 1, by_the_second())
    await house.settle("call-1", 2, 50)
    keeper = await drained(house)
    await house.reserve("call-2", 1, by_the_second())
    await house.settle("call-2", 2, 7)
    await house.store.command("FLUSHALL")

    await keeper.drain()

    assert (await house.balance()).debited_micros == 50


async def test_for_one_slice_after_it_grants_are_as_short_as_they_may_be(house: House) -> None:
    await house.open(balance=6_000_000)
    keeper = await drained(house)
    await house.store.command("FLUSHALL")
    await keeper.drain()

    early = await house.reserve("call-1", 1, by_the_second(), want=300)
    house.clock.pass_seconds(SMALL_MS // 1_000)
    late = await house.reserve("call-2", 1, by_the_second(), want=300)

    assert (early.granted_seconds, late.granted_seconds) == (60, 300)


async def test_a_first_opening_gives_whole_slices_at_once(house: House) -> None:
    await house.open(balance=6_000_000)

    answer = await house.reserve("call-1", 1, by_the_second(), want=300)

    assert answer.granted_seconds == 300


async def test_a_server_that_starts_on_an_emptied_store_does_not_fund_accounts_anew(
    house: House,
) -> None:
    await house.open(balance=6_000_000)
    await house.reserve("call-1", 1, by_the_second())
    await house.settle("call-1", 2, 50)
    await drained(house)
    await house.store.command("FLUSHALL")

    await house.open(balance=6_000_000)

    balance = await house.balance()
    assert (balance.available_micros, balance.debited_micros) == (5_999_950, 50)


async def test_servers_that_start_at_once_open_a_partition_once(house: House) -> None:
    await asyncio.gather(*(house.open(balance=6_000_000) for _ in range(5)))

    assert (await house.balance()).funded_micros == 6_000_000
    assert (await house.archive.positions())[PARTITION].epoch >= 1
    await drained(house)
    assert (await house.image()).account.funded_micros == 6_000_000


async def test_money_moved_without_calls_is_as_it_was_and_moves_no_second_time(
    house: House,
) -> None:
    await house.open(balance=1_000)
    ledger, year = house.ledger, house.clock.now_ms() + YEAR_MS

    async def move() -> None:
        await ledger.top_up(TopUp("contoso", "lot-2", 500, year))
        await ledger.top_up(TopUp("contoso", "lot-3", 70, year))
        await ledger.debit(DirectDebit("contoso", "debit-1", 1_200))
        await ledger.refund(Refund("contoso", "refund-1", "opening:contoso", 30))
        await ledger.void_lot("contoso", "lot-3")
        await ledger.freeze("contoso", frozen=True)

    await move()
    keeper = await drained(house)
    before = await house.balance()
    await house.store.command("FLUSHALL")
    await keeper.drain()
    assert await house.balance() == before

    await move()
    assert await house.balance() == before
    require_sums(before)
    refused = await house.reserve("call-1", 1, by_the_second())
    assert refused.reason is Reason.ACCOUNT_FROZEN
