"""Money while a slot moves below the ledger, and while its primary dies and another takes over."""

from __future__ import annotations

import asyncio

from ledgers import ManualClock, an_account, ask, by_the_second
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store
from stores import empty
from unsteady import CutStore, FailingOver, MovingSlot, PatientStore

CALLS = 60
A_DEATH_AT = 30


async def ask_for_many(store: Store) -> int:
    """Ask for calls one after the other; say what is held of the account then."""
    ledger = RedisLedger(store, ManualClock())
    await ledger.open_account(an_account(1_000_000))
    for number in range(CALLS):
        answer = await ledger.reserve(ask(f"call-{number}", 1, by_the_second()))
        assert answer.granted_seconds == 60
    return (await ledger.read_balance("contoso")).reserved_micros


async def test_each_call_holds_its_money_once_while_the_slot_moves(
    moving: tuple[str, MovingSlot],
) -> None:
    url, slot = moving
    store = PatientStore(url)
    await empty(store)
    await RedisLedger(store, ManualClock()).install()
    before = slot.moves

    with slot.moving():
        held = await ask_for_many(store)
        while slot.moves < before + 2:
            await asyncio.sleep(0.01)
            held = (await RedisLedger(store, ManualClock()).read_balance("contoso")).reserved_micros

    assert held == CALLS * 60
    await store.close()


async def test_each_call_holds_its_money_once_though_the_primary_dies(
    failing_over: FailingOver,
) -> None:
    store = CutStore(failing_over.url, failing_over.kill, at=A_DEATH_AT)
    await empty(store)
    await RedisLedger(store, ManualClock()).install()

    held = await ask_for_many(store)

    assert held == CALLS * 60
    assert failing_over.is_dead
    await store.close()
