"""What an entry says that moved: purse by purse, and adding up to the account."""

from __future__ import annotations

import re
from random import Random

import pytest

from callgate.v1 import debits_pb2 as pb
from ledger_history import STEPS, TENANTS, History, outcome_of
from ledgers import (
    START_MS,
    TENANT,
    ManualClock,
    a_question,
    an_account,
    ask,
    credits_,
    extend,
    free,
    pool,
)
from server.ledger import DirectDebit, Refund, TopUp
from server.ledger.journal import CALL_KINDS, JournalSource, Movement, Place, PurseMove
from server.ledger.journal.call_moves import call_of, read_call
from server.ledger.keys import partition_of
from server.ledger.library import library_code
from server.ledger.redis_ledger import RedisLedger
from server.services.debits.messages import watch_response
from server.storage.redis import Store

FROM_THE_BEGINNING = Place(partition_of(TENANT), 1, 0)


async def movements_of(store: Store, tenant: str = TENANT) -> tuple[Movement, ...]:
    place = Place(partition_of(tenant), 1, 0)
    page = await JournalSource(store, None).after(place, limit=10_000, tenant_id=tenant)
    return page.movements


def by_purse(movement: Movement) -> list[tuple[str, int, int, int, int]]:
    return [
        (
            move.purse.kind,
            move.held_seconds,
            move.held_micros,
            move.debited_seconds,
            move.debited_micros,
        )
        for move in movement.moves
    ]


async def test_a_call_over_two_purses_moves_each_by_what_it_gave(
    store: Store, ledger: RedisLedger
) -> None:
    await ledger.open_account(an_account(6_000_000))
    await ledger.reserve(ask("call-1", 1, pool(90), credits_(), want=120))
    await ledger.extend(extend("call-1", 2, 100, want=60))
    await ledger.settle(a_question("call-1", 3), 130)

    reserved, extended, settled = (await movements_of(store))[-3:]

    assert by_purse(reserved) == [("pool", 90, 0, 0, 0), ("credits", 60, 100_000, 0, 0)]
    # 10 s of credits cost a first minute; the increment they are in is paid.
    assert by_purse(extended) == [("pool", -90, 0, 90, 0), ("credits", 50, 0, 10, 100_000)]
    assert by_purse(settled) == [("credits", -110, -100_000, 30, 0)]
    assert reserved.moves[0].purse.pool_id == "plan-1"
    assert reserved.moves[0].purse.counter == "domestic"
    assert reserved.moves[0].purse.period == "2027-01"
    assert [(purse.kind, use.seconds, use.micros) for purse, use in settled.uses] == [
        ("pool", 90, 0),
        ("credits", 40, 100_000),
    ]
    assert (extended.used_seconds, extended.granted_seconds) == (100, 210)
    assert (settled.used_seconds, settled.granted_seconds) == (130, 130)


async def test_a_reservation_that_takes_the_place_of_another_gives_that_back(
    store: Store, ledger: RedisLedger
) -> None:
    await ledger.open_account(an_account(6_000_000))
    await ledger.reserve(ask("call-1", 1, pool(600)))
    await ledger.reserve(ask("call-1", 2, credits_()))

    replaced = (await movements_of(store))[-1]

    assert by_purse(replaced) == [("pool", -60, 0, 0, 0), ("credits", 60, 100_000, 0, 0)]


async def test_what_lapses_or_is_released_is_given_back(
    store: Store, ledger: RedisLedger, clock: ManualClock
) -> None:
    await ledger.open_account(an_account(6_000_000))
    await ledger.reserve(ask("lapses", 1))
    await ledger.reserve(ask("released", 1, free()))
    await ledger.release(a_question("released", 2))
    clock.pass_seconds(3_600)
    await ledger.expire(partition_of(TENANT), 10)

    *_, released, expired = await movements_of(store)

    assert by_purse(released) == [("free", -60, 0, 0, 0)]
    assert by_purse(expired) == [("credits", -60, -100_000, 0, 0)]
    assert (released.kind, expired.kind) == ("released", "expired")
    assert released.decision_id
    assert not expired.decision_id
    assert (expired.call_id, expired.gateway_id) == ("lapses", "sbc-1")


async def test_money_without_a_call_moves_by_lot(
    store: Store, ledger: RedisLedger, clock: ManualClock
) -> None:
    await ledger.open_account(an_account(0))
    await ledger.top_up(TopUp(TENANT, "lot-1", 5_000_000, START_MS + 1_000_000))
    await ledger.debit(DirectDebit(TENANT, "debit-1", 1_000_000))
    await ledger.refund(Refund(TENANT, "refund-1", "lot-1", 400_000))
    await ledger.void_lot(TENANT, "lot-1")

    topped_up, debited, refunded, voided, expired = (await movements_of(store))[-5:]

    assert [(move.added_micros, move.lot_id) for move in topped_up.moves] == [(5_000_000, "lot-1")]
    assert by_purse(debited) == [("credits", 0, 0, 0, 1_000_000)]
    assert by_purse(refunded) == [("credits", 0, 0, 0, -400_000)]
    assert (refunded.reference_id, refunded.lot_id) == ("refund-1", "lot-1")
    assert (voided.lot_id, voided.moves) == ("lot-1", ())
    assert [(move.added_micros, move.lot_id) for move in expired.moves] == [(-4_400_000, "lot-1")]
    assert sum(one.debited_micros for one in (topped_up, debited, refunded)) == 1_000_000


async def play_a_history(ledger: RedisLedger, clock: ManualClock, seed: int) -> None:
    history = History(Random(seed), clock)
    steps = history.opening()
    for number in range(STEPS):
        _, step = steps[number] if number < len(steps) else history.next_step()
        await outcome_of(step, ledger)


@pytest.mark.parametrize("seed", range(1, 6))
async def test_the_movements_of_a_random_history_add_up_to_the_accounts(
    store: Store, ledger: RedisLedger, clock: ManualClock, seed: int
) -> None:
    await play_a_history(ledger, clock, seed)

    for tenant in TENANTS:
        # Reading a balance lets due lots expire, which is an entry too.
        balance = await ledger.read_balance(tenant)
        movements = await movements_of(store, tenant)
        moves = [move for movement in movements for move in movement.moves]
        assert sum(move.held_micros for move in moves) == balance.reserved_micros
        assert sum(one.debited_micros for one in movements) == balance.debited_micros
        assert _left(moves) + balance.post_paid_micros == (balance.available_micros or 0)


@pytest.mark.parametrize("seed", [6, 7])
async def test_entries_are_read_and_told_alike_however_they_are_read_and_written(
    store: Store, ledger: RedisLedger, clock: ManualClock, seed: int
) -> None:
    await play_a_history(ledger, clock, seed)

    movements = [one for tenant in TENANTS for one in await movements_of(store, tenant)]
    place = Place(partition_of(TENANT), 1, 1, "nonce")

    about_calls = [one for one in movements if one.kind in CALL_KINDS]
    at_once = [one for one in about_calls if read_call(one.entry.body) is not None]
    assert {one.kind for one in at_once} == {one.kind for one in about_calls}
    assert [one.call for one in at_once] == [call_of(one.entry.fields) for one in at_once]
    assert {one.kind for one in movements} >= {"reserved", "topped_up"}
    # By hand it is written as by the generated code, which leaves out what is empty.
    written = watch_response(movements, place, "EUR")
    assert written == pb.WatchDebitsResponse.FromString(written).SerializeToString()


def _left(moves: list[PurseMove]) -> int:
    return sum(move.added_micros - move.held_micros - move.debited_micros for move in moves)


def test_every_kind_of_entry_that_the_ledger_writes_has_a_kind_on_the_wire() -> None:
    code = library_code()
    written = set(re.findall(r"note(?:_call)?\([^,]+, '(\w+)'", code))
    written |= set(re.findall(r"kind = '(\w+)'", code)) - {"F", "P", "C"}
    written |= set(re.findall(r"plan_end\(\w+, \w+, '(\w+)'\)", code)) | {"opened", "described"}
    # By who mends a journal that was lost.
    written.add("carried")

    from server.services.debits.messages import _KINDS

    assert written == set(_KINDS)


async def test_an_answer_on_the_wire_tells_only_what_moved(
    store: Store, ledger: RedisLedger
) -> None:
    await ledger.open_account(an_account(6_000_000))
    await ledger.reserve(ask("call-1", 1, pool(30), credits_(), want=60))
    source = JournalSource(store, None)

    page = await source.after(FROM_THE_BEGINNING, limit=10, tenant_id=TENANT)
    response = pb.WatchDebitsResponse.FromString(
        watch_response(page.movements, await source.standing(TENANT), "USD")
    )

    opened, topped_up, reserved = response.entries
    assert opened.kind == pb.JOURNAL_ENTRY_KIND_ACCOUNT
    assert topped_up.movements[0].added.micros == 6_000_000
    by_pool, by_credits = reserved.movements
    assert not by_pool.HasField("held")
    assert by_pool.held_duration.seconds == 30
    assert by_credits.held.micros == 100_000
    assert by_credits.held.currency_code == "USD"
    assert not by_credits.HasField("debited")
    assert response.account.available.micros == 5_900_000
