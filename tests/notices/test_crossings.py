"""Balances and pools cross their lines: each crossing is a notice, once."""

from __future__ import annotations

import pytest

from couriers import notices_of, told_of
from keepers import PARTITION, House, drained
from ledgers import YEAR_MS, credits_, pool
from server.ledger import DirectDebit, Refund, TopUp
from server.notices import crossings
from server.notices.preferences import NoticeSettings, write_settings

TEN = 10_000_000


async def watched(house: House, *, low: int | None = TEN, tenant: str = "contoso") -> None:
    settings = NoticeSettings(low_balance_micros=low)
    await house.archive.database.write(lambda c: write_settings(c, {tenant: settings}))


async def debit(house: House, micros: int, number: int = 0) -> None:
    await house.ledger.debit(DirectDebit("contoso", f"debit-{micros}-{number}", micros))


async def top_up(house: House, micros: int, lot: str, *, seconds: int = YEAR_MS // 1_000) -> None:
    expire_ms = house.clock.now_ms() + seconds * 1_000
    await house.ledger.top_up(TopUp("contoso", lot, micros, expire_ms))


async def test_many_small_debits_across_the_line_are_one_notice_and_one_more_after_a_top_up(
    house: House,
) -> None:
    """F1: the balance falls below its line bit by bit, is topped up, and falls below it again."""
    await watched(house)
    await house.open(balance=TEN + 250)
    for number in range(40):
        await debit(house, 10, number)
        if number % 7 == 0:
            await drained(house)
    await drained(house)
    first = await notices_of(house.archive.database)

    house.clock.pass_seconds(1)
    await top_up(house, 1_000, "lot-2")
    for number in range(90):
        await debit(house, 11, number)
    await drained(house)

    assert first == [("balance_low", TEN - 10)]
    both = await notices_of(house.archive.database)
    assert both == [*first, ("balance_low", TEN - 150 + 1_000 - 78 * 11)]


@pytest.mark.parametrize(
    ("balance", "told"),
    [(TEN + 1, []), (TEN, []), (TEN - 1, [("balance_low", TEN - 1)])],
    ids=["one micro above", "at the line", "one micro below"],
)
async def test_low_is_strictly_below_the_line(
    house: House, balance: int, told: list[tuple[str, int]]
) -> None:
    """F3: at the line nothing is told; one micro below it is."""
    await watched(house)
    await house.open(balance=TEN + 5)

    await debit(house, TEN + 5 - balance)
    await drained(house)

    assert await notices_of(house.archive.database) == told


@pytest.mark.parametrize(("micros", "told_again"), [(1, True), (0, False)])
async def test_a_balance_is_armed_again_at_the_line_and_not_below(
    house: House, micros: int, told_again: bool
) -> None:
    """F3: the line itself is not low any more."""
    await watched(house)
    await house.open(balance=TEN)
    await debit(house, 10)
    await top_up(house, 9 + micros, "lot-2")
    await debit(house, 2)

    await drained(house)

    assert len(await notices_of(house.archive.database)) == 1 + told_again


async def test_reaching_zero_is_told_once_until_there_is_money_again(house: House) -> None:
    await house.open(balance=100)
    await debit(house, 99)
    await drained(house)
    assert await notices_of(house.archive.database) == []

    await debit(house, 1)
    await drained(house)
    await house.ledger.debit(DirectDebit("contoso", "more", 5, overdraft_micros=5))
    await drained(house)
    assert await notices_of(house.archive.database) == [("balance_zero", 0)]

    await top_up(house, 6, "lot-2")
    await debit(house, 1, 2)
    await drained(house)

    zeros = await notices_of(house.archive.database)
    assert zeros == [("balance_zero", 0), ("balance_zero", 0)]


async def test_a_refund_arms_as_a_top_up_does(house: House) -> None:
    await house.open(balance=100)
    await debit(house, 100)
    await house.ledger.refund(Refund("contoso", "refund-1", "opening:contoso", 100))
    await debit(house, 100, 2)

    await drained(house)

    assert len(await notices_of(house.archive.database)) == 2


async def test_who_never_had_money_has_not_reached_zero(house: House) -> None:
    await house.open(balance=0)
    await house.open(balance=None, tenant="fabrikam")
    await drained(house)

    assert await notices_of(house.archive.database) == []
    assert await notices_of(house.archive.database, "fabrikam") == []


async def test_who_sets_a_line_above_the_balance_is_told_with_the_next_movement(
    house: House,
) -> None:
    await house.open(balance=100)
    await drained(house)
    await watched(house)

    await debit(house, 1)
    await debit(house, 1, 2)
    await drained(house)

    assert await notices_of(house.archive.database) == [("balance_low", 99)]


async def test_money_that_calls_hold_is_not_spent(house: House) -> None:
    await watched(house)
    await house.open(balance=TEN)
    await house.reserve("call-1", 1, credits_(), want=60)

    await drained(house)

    assert await notices_of(house.archive.database) == []


async def test_a_pool_is_told_at_eighty_and_at_a_hundred_percent_once_each(house: House) -> None:
    await house.open()
    for number, (used, told) in enumerate([(479, 0), (1, 1), (60, 1), (60, 2), (0, 2)]):
        if used:
            await house.reserve(f"call-{number}", 1, pool(600), want=used)
            await house.settle(f"call-{number}", 2, used)
        await drained(house)

        assert len(await told_of(house.archive.database)) == told

    (at_80, facts_80), (at_100, facts_100) = await told_of(house.archive.database)
    assert {at_80, at_100} == {"pool_80", "pool_100"}
    assert facts_80["counter"] == "domestic"
    assert {facts_80["used_seconds"], facts_100["used_seconds"]} == {480, 600}


async def test_a_pool_that_grew_is_told_of_again(house: House) -> None:
    await house.open()
    await house.reserve("call-1", 1, pool(100), want=85)
    await house.settle("call-1", 2, 85)
    await house.reserve("call-2", 1, pool(200), want=70)
    await house.settle("call-2", 2, 70)
    await drained(house)
    assert [kind for kind, _ in await told_of(house.archive.database)] == ["pool_80"]

    house.clock.pass_seconds(1)
    await house.reserve("call-3", 1, pool(200), want=10)
    await house.settle("call-3", 2, 10)
    await drained(house)

    told = await told_of(house.archive.database)
    assert [(kind, facts["size_seconds"]) for kind, facts in told] == [
        ("pool_80", 100),
        ("pool_80", 200),
    ]


async def test_one_call_across_both_lines_is_told_of_both(house: House) -> None:
    await house.open()
    await house.reserve("call-1", 1, pool(100), want=100)
    await house.settle("call-1", 2, 100)

    await drained(house)

    told = {kind for kind, _ in await told_of(house.archive.database)}
    assert told == {"pool_80", "pool_100"}


async def test_a_person_s_own_allowance_is_no_pool(house: House) -> None:
    await house.open()
    own = pool(100, pool_id="user:adele:MCOPSTN8")
    await house.reserve("call-1", 1, own, want=100)
    await house.settle("call-1", 2, 100)

    await drained(house)

    assert await told_of(house.archive.database) == []


async def test_expired_credits_are_told_once_however_many_look(house: House) -> None:
    """F13: an account's credits expire: one notice of the account, not one of each node."""
    await house.open(balance=None)
    await top_up(house, 700, "lot-1", seconds=60)
    await top_up(house, 300, "lot-2", seconds=60)
    house.clock.pass_seconds(61)
    nodes = [house.keeper() for _ in range(3)]
    for node in nodes:
        await node.discover()

    await top_up(house, 5, "lot-3")
    for node in nodes:
        await node.expire()
        await node.drain()

    told = await told_of(house.archive.database)
    expired = [facts for kind, facts in told if kind == "credits_expired"]
    assert [(facts["expired_micros"], facts["lots"]) for facts in expired] == [(1_000, 2)]


async def test_a_lot_that_calls_hold_expires_in_pieces_and_is_told_once(house: House) -> None:
    """F13: what a running call gives back expires later, without a notice of its own."""
    await house.open(balance=None)
    await top_up(house, 1_000_000, "lot-1", seconds=30)
    await house.reserve("call-1", 1, credits_(), want=60)
    house.clock.pass_seconds(31)
    await top_up(house, 5, "lot-2")
    await drained(house)
    await house.release("call-1", 2)
    await drained(house)

    kinds = [kind for kind, _ in await told_of(house.archive.database)]
    assert kinds.count("credits_expired") == 1
    assert (await house.balance()).expired_micros == 1_000_000


async def test_what_is_not_archived_is_not_told(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.open(balance=100)
    await drained(house)
    await debit(house, 100)
    finish = crossings.CrossingWatch.finish

    def dies(watch: crossings.CrossingWatch) -> None:
        finish(watch)
        raise KeyboardInterrupt

    keeper = house.keeper()
    await keeper.discover()
    monkeypatch.setattr(crossings.CrossingWatch, "finish", dies)
    with pytest.raises(KeyboardInterrupt):
        await keeper.drain()
    monkeypatch.setattr(crossings.CrossingWatch, "finish", finish)
    assert await notices_of(house.archive.database) == []

    await drained(house)

    assert await notices_of(house.archive.database) == [("balance_zero", 0)]


async def test_a_lost_store_tells_nothing_twice(house: House) -> None:
    await house.open(balance=100)
    await debit(house, 100)
    await drained(house)
    await house.store.command("FLUSHALL")
    keeper = house.keeper()
    await keeper.drain()

    await top_up(house, 10, "lot-2")
    await drained(house)

    assert (await house.balance()).balance_micros == 10
    assert await notices_of(house.archive.database) == [("balance_zero", 0)]
    assert keeper.figures.partitions_rebuilt == 1
    assert (await house.archive.positions())[PARTITION].epoch > 1
