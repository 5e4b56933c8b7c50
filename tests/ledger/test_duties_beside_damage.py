"""A damaged partition stops the duties in no other one, and takes no calls itself."""

from __future__ import annotations

from ledgers import TENANT, an_account
from server.ledger.headroom import JournalFill
from server.ledger.journal.entries import JournalReader
from server.ledger.keys import partition_keys, partition_of
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store

SOUND = partition_of(TENANT)
DAMAGED = (SOUND + 1) % 256


async def test_a_journal_that_cannot_be_read_takes_no_calls_and_others_do(
    redis_ledger: RedisLedger, store: Store
) -> None:
    await redis_ledger.open_account(an_account(1_000_000, tenant=TENANT))
    await store.command("SET", partition_keys(DAMAGED).journal, "x")
    fill = JournalFill(JournalReader(store), lambda: (DAMAGED, SOUND), 10)

    await fill.look()

    assert not fill.is_full(TENANT)
    assert fill.is_full(_tenant_of(DAMAGED))


def _tenant_of(partition: int) -> str:
    return next(name for name in map(str, range(100_000)) if partition_of(name) == partition)
