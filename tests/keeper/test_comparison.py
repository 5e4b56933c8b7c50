"""A server grants nothing from a store that went back, not even in its first moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typing_extensions import override

from keepers import PARTITION, House, context_of, drained
from ledgers import a_question, by_the_second
from server.archive import Archive, Position
from server.archive.keeper.comparison import Comparison
from server.ledger import AccountUnknown, ReserveRequest
from server.ledger.journal.entries import JournalReader
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store
from server.storage.sql.database import Database
from server.storage.sql.errors import ArchiveUnavailable
from serving import eventually
from snapshots import copy_of, go_back_to


class AwayArchive(Archive):
    """An archive that answers when a test lets it."""

    is_away = True

    @override
    async def positions(self) -> dict[int, Position]:
        if self.is_away:
            raise ArchiveUnavailable("away")
        return await super().positions()


@pytest.fixture
async def servers_store(valkey: str) -> AsyncIterator[Store]:
    """What a server connects by."""
    store = Store(valkey)
    yield store
    await store.close()


def compared(house: House, store: Store, archive: Archive | None = None) -> Comparison:
    journal = JournalReader(house.store)
    comparison = Comparison(journal, archive or house.archive, house.rebuild)
    store.before_use(comparison.before_use)
    return comparison


def asked(call_id: str) -> ReserveRequest:
    return ReserveRequest(
        a_question(call_id), (by_the_second(),), None, 60, context=context_of(by_the_second())
    )


async def spent_and_gone_back(house: House) -> None:
    """Spend all there is, and have it archived; then the store goes back to before that."""
    await house.open(balance=60)
    keeper = await drained(house)
    old = await copy_of(house.store)
    await house.reserve("call-1", 1, by_the_second(), want=60)
    await house.settle("call-1", 2, 60)
    await keeper.drain()
    await go_back_to(house.store, old)


async def test_an_older_snapshot_grants_nothing_to_who_connects(
    house: House, servers_store: Store
) -> None:
    await spent_and_gone_back(house)
    compared(house, servers_store)
    ledger = RedisLedger(servers_store, house.clock)

    with pytest.raises(AccountUnknown):
        await ledger.reserve(asked("call-2"))
    await house.open(balance=60)
    refused = await ledger.reserve(asked("call-3"))

    assert refused.reason is not None
    balance = await house.balance()
    assert (balance.available_micros, balance.debited_micros) == (0, 60)


async def test_several_servers_that_connect_at_once_grant_nothing(
    house: House, valkey: str
) -> None:
    await spent_and_gone_back(house)
    stores = [Store(valkey) for _ in range(4)]
    for store in stores:
        compared(house, store)

    asking = (RedisLedger(store, house.clock).reserve(asked("call-2")) for store in stores)
    found = await asyncio.gather(*asking, return_exceptions=True)

    assert {type(each) for each in found} == {AccountUnknown}
    for store in stores:
        await store.close()


async def test_a_store_that_stands_where_the_archive_does_is_used_as_it_is(
    house: House, servers_store: Store
) -> None:
    await house.open(balance=6_000)
    await house.reserve("call-1", 1, by_the_second(), want=60)
    await drained(house)
    await house.reserve("call-2", 1, by_the_second(), want=60)
    before, place = await house.balance(), (await house.archive.positions())[PARTITION]
    compared(house, servers_store)

    granted = await RedisLedger(servers_store, house.clock).reserve(asked("call-3"))

    assert granted.granted_seconds == 60
    assert (await house.balance()).reserved_micros == before.reserved_micros + 60
    assert (await house.archive.positions())[PARTITION] == place


async def test_without_an_archive_calls_go_on_and_it_is_compared_later(
    house: House, servers_store: Store
) -> None:
    await spent_and_gone_back(house)
    archive = AwayArchive(house.archive.database)
    comparison = compared(house, servers_store, archive)
    ledger = RedisLedger(servers_store, house.clock)

    granted = await ledger.reserve(asked("call-2"))
    archive.is_away = False
    making_up = asyncio.create_task(comparison.run())
    await eventually(lambda: not comparison.is_owed, 20)
    making_up.cancel()

    assert granted.granted_seconds == 60
    with pytest.raises(AccountUnknown):
        await ledger.reserve(asked("call-3"))


async def test_an_archive_that_was_never_made_is_no_trouble(
    house: House, servers_store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await house.open(balance=60)
    never_made = Archive(Database(f"sqlite:///{tmp_path}/never.sqlite"))
    comparison = compared(house, servers_store, never_made)

    await servers_store.check()

    assert not comparison.is_owed
    assert caplog.text == ""
