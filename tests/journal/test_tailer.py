"""The tailer: what is written comes to each follower once, in order, soon."""

from __future__ import annotations

import itertools

import pytest

from ledgers import TENANT, a_question, an_account, ask, extend, free
from server.ledger import LedgerDamaged
from server.ledger.journal import (
    FOLLOWER_LIMIT,
    Batch,
    EpochEnded,
    Follower,
    FollowerTooSlow,
    JournalSource,
    Movement,
    Tailer,
    TailerStopped,
)
from server.ledger.journal.tail import Tail
from server.ledger.keys import partition_keys, partition_of
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store, WakeUps
from stores import empty

CROWD, BUSY_CALLS = 99, 40
# The last of these bursts is too much for a follower that takes none, and yet a little is not.
BURSTS, LEGS = 4, 300


def neighbour_of(tenant_id: str) -> str:
    """Find another tenant of the same partition."""
    names = (f"tenant-{number}" for number in itertools.count())
    return next(name for name in names if partition_of(name) == partition_of(tenant_id))


async def test_a_follower_gets_what_a_call_moves_in_order(
    tailer: Tailer, ledger: RedisLedger
) -> None:
    await ledger.open_account(an_account(6_000_000))
    follower = tailer.follower("reader")
    await follower.join(TENANT)

    await ledger.reserve(ask("call-1", 1))
    await ledger.extend(extend("call-1", 2, 60))
    await ledger.settle(a_question("call-1", 3), 70)

    movements: list[Movement] = []
    standing = None
    while len(movements) < 3:
        batch = await follower.next(5)
        assert batch is not None
        movements += batch.movements
        standing = batch.standing
    assert [movement.kind for movement in movements] == ["reserved", "extended", "settled"]
    assert [sum(move.debited_micros for move in one.moves) for one in movements] == [
        0,
        100_000,
        100_000,
    ]
    assert [sum(move.held_micros for move in one.moves) for one in movements] == [
        100_000,
        0,
        -100_000,
    ]
    balance = await ledger.read_balance(TENANT)
    assert standing is not None
    assert standing.available_micros == balance.available_micros
    assert standing.debited_micros == balance.debited_micros
    follower.leave()


async def test_entries_are_found_though_no_wake_up_is_heard(
    store: Store, ledger: RedisLedger
) -> None:
    deaf = Tailer(JournalSource(store, None), WakeUps("unix:///nowhere"))
    await ledger.open_account(an_account(6_000_000))
    follower = deaf.follower("reader")
    await follower.join(TENANT)

    await ledger.reserve(ask("call-1", 1))
    batch = await follower.next(5)

    assert batch is not None
    assert [movement.call_id for movement in batch.movements] == ["call-1"]
    deaf.stop()


async def test_followers_share_what_is_read_once(tailer: Tailer, ledger: RedisLedger) -> None:
    await ledger.open_account(an_account(6_000_000))
    followers = [tailer.follower(f"reader {number}") for number in range(3)]
    for follower in followers:
        await follower.join(TENANT)

    await ledger.reserve(ask("call-1", 1))
    batches = [await follower.next(5) for follower in followers]

    assert batches[0] is not None
    assert all(batch is batches[0] for batch in batches)


async def test_under_load_entries_come_many_together_and_when_it_is_quiet_at_once(
    tailer: Tailer, ledger: RedisLedger
) -> None:
    await ledger.open_account(an_account(600_000_000))
    reader = tailer.follower("reader")
    # The more follow, the longer a busy partition rests.
    crowd = [tailer.follower(f"one of {CROWD}") for _ in range(CROWD)]
    for follower in (reader, *crowd):
        await follower.join(TENANT)

    await ledger.reserve(ask("first", 1, free()))
    first = await reader.next(5)
    for number in range(BUSY_CALLS):
        await ledger.reserve(ask(f"call-{number:03}", 1, free()))
    batches: list[Batch] = []
    while sum(len(batch.movements) for batch in batches) < BUSY_CALLS:
        batch = await reader.next(5)
        assert batch is not None
        batches.append(batch)

    assert first is not None
    assert [movement.call_id for movement in first.movements] == ["first"]
    assert first.followers == 1 + CROWD
    movements = [movement for batch in batches for movement in batch.movements]
    assert [one.call_id for one in movements] == [f"call-{n:03}" for n in range(BUSY_CALLS)]
    assert [one.entry.n for one in movements] == [
        first.place.n + 1 + number for number in range(BUSY_CALLS)
    ]
    # A response's cursor is its last entry.
    last = [batch.movements[-1].entry for batch in batches]
    assert [(batch.place.n, batch.place.nonce) for batch in batches] == [
        (entry.n, entry.nonce) for entry in last
    ]
    assert len(batches) < BUSY_CALLS / 4


async def test_a_follower_gets_nothing_of_tenants_it_did_not_join(
    tailer: Tailer, ledger: RedisLedger
) -> None:
    other = neighbour_of(TENANT)
    for tenant in (TENANT, other):
        await ledger.open_account(an_account(6_000_000, tenant=tenant))
    follower = tailer.follower("reader")
    await follower.join(TENANT)

    await ledger.reserve(ask("theirs", 1, tenant=other))
    await ledger.reserve(ask("ours", 1))
    batch = await follower.next(5)

    assert batch is not None
    assert [movement.call_id for movement in batch.movements] == ["ours"]


async def test_a_follower_too_far_behind_is_ended_and_the_others_are_not(
    tailer: Tailer, ledger: RedisLedger
) -> None:
    await ledger.open_account(an_account(600_000_000))
    slow, quick = tailer.follower("slow"), tailer.follower("quick")
    await slow.join(TENANT)
    await quick.join(TENANT)
    seen = 0
    most_waiting = 0

    for first in range(0, FOLLOWER_LIMIT + 100, 50):
        legs = [ask(f"call-{first + number}", 1, free()) for number in range(50)]
        await ledger.reserve_many(legs, all_or_nothing=True)
        while seen < first + 50:
            batch = await quick.next(5)
            assert batch is not None
            seen += len(batch.movements)
            most_waiting = max(most_waiting, slow.waiting)

    with pytest.raises(FollowerTooSlow):
        await slow.next(5)
    assert most_waiting <= FOLLOWER_LIMIT
    assert seen >= FOLLOWER_LIMIT + 100


async def test_a_follower_too_far_behind_gets_nothing_that_came_after_what_it_missed(
    tailer: Tailer, ledger: RedisLedger
) -> None:
    tenants = TENANT, neighbour_of(TENANT)
    slow, quick = tailer.follower("slow"), tailer.follower("quick")
    for tenant_id in tenants:
        await ledger.open_account(an_account(600_000_000, tenant=tenant_id))
        await slow.join(tenant_id)
        await quick.join(tenant_id)

    for burst in range(BURSTS):
        legs = [ask(f"call-{burst}-{leg}", 1, free()) for leg in range(LEGS)]
        await ledger.reserve_many(legs, all_or_nothing=True)
        await _take(quick, LEGS)
    await ledger.reserve(ask("theirs", 1, free(), tenant=tenants[1]))
    await _take(quick, 1)

    assert slow.waiting < FOLLOWER_LIMIT
    with pytest.raises(FollowerTooSlow):
        await slow.next(5)


async def test_a_journal_that_began_anew_ends_its_followers(
    tailer: Tailer, ledger: RedisLedger, store: Store
) -> None:
    await ledger.open_account(an_account(6_000_000))
    await ledger.reserve(ask("call-1", 1))
    follower = tailer.follower("reader")
    await follower.join(TENANT)

    await empty(store)
    await ledger.open_account(an_account(6_000_000))

    with pytest.raises(EpochEnded):
        await follower.next(5)


async def test_an_entry_that_cannot_be_read_holds_up_its_page_until_it_is_mended(
    tailer: Tailer, ledger: RedisLedger, store: Store
) -> None:
    await ledger.open_account(an_account(6_000_000))
    source, follower = JournalSource(store, None), tailer.follower("reader")
    standing = await source.standing(TENANT)
    place, tail = standing.place, Tail(standing.place)
    tail.add(follower, standing, TENANT)
    journal, body = partition_keys(place.partition).journal, f"tenant={TENANT}\ncall=x"
    entry = ("meta", f"{place.epoch} next {place.nonce} 0 0", "kind", "settled", "body", body)
    await store.command("XADD", journal, f"{place.n + 1}-0", *entry)

    with pytest.raises(LedgerDamaged):
        await tail.read(source)
    held_up = follower.waiting
    await store.command("DEL", journal)
    await ledger.reserve(ask("call-1", 1))
    await tail.read(source)
    batch = await follower.next(5)

    assert held_up == 0
    assert batch is not None
    assert [movement.call_id for movement in batch.movements] == ["call-1"]


async def test_a_tailer_that_stops_ends_followers_after_what_was_read(
    tailer: Tailer, ledger: RedisLedger
) -> None:
    await ledger.open_account(an_account(6_000_000))
    follower, beside = tailer.follower("reader"), tailer.follower("beside")
    for one in (follower, beside):
        await one.join(TENANT)
    await ledger.reserve(ask("call-1", 1))
    await beside.next(5)

    tailer.stop()

    assert await follower.next(5) is not None
    with pytest.raises(TailerStopped):
        await follower.next(5)
    with pytest.raises(TailerStopped):
        await tailer.follower("late").join(TENANT)


async def test_a_partition_that_nobody_follows_is_not_read(
    tailer: Tailer, ledger: RedisLedger
) -> None:
    await ledger.open_account(an_account(6_000_000))
    follower = tailer.follower("reader")
    await follower.join(TENANT)
    assert tailer.followers == 1

    follower.leave()

    assert tailer.followers == 0
    assert follower.reached(TENANT) is None


async def _take(follower: Follower, count: int) -> None:
    while count > 0:
        batch = await follower.next(5)
        assert batch is not None
        count -= len(batch.movements)
