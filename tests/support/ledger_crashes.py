"""What may happen between two steps of a history: a lost reply, a killed store, a rebuild."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from engines import OwnRedis
from ledger_history import History
from server.ledger import Balance
from server.ledger.journal.entries import JournalReader
from server.ledger.keys import call_key, partition_of
from server.ledger.maintenance import JournalEnd, Keeping, RestoredAccount, RestoredLot
from server.ledger.model.account import Account
from server.ledger.model.ledger import MemoryLedger
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store
from server.storage.redis.references import call_reference
from stores import binaries

LOST_REPLIES = 0.1
REBUILDS = 0.02
# How often all records of calls lapse that are over, as they do a while after they were archived.
LAPSES = 0.05
_BURIED = frozenset({"settled", "released", "ended", "expired"})
# One history in so many has its stores killed; starting them again is what takes the time.
HISTORIES_A_KILL = 5
KILLS = 0.02
SMALL_MS = 300_000
_FILE_SECONDS, _FILE_LOOK_SECONDS = 30.0, 0.01
# Asked twice, these have something else to say: what was given back is given back; and what was
# looked at before a recharge is another balance after it.
_NOT_TWICE = re.compile("(again )*expire|recharge")


@dataclass(slots=True)
class Crashes:
    """One seed's crashes, and the servers that may be killed, by name."""

    seed: int
    servers: Mapping[str, OwnRedis]
    random: Random = field(init=False)
    # How often each kind came about.
    lost_replies: int = 0
    kills: int = 0
    rebuilds: int = 0
    lapsed: int = 0

    def __post_init__(self) -> None:
        self.random = Random(f"crashes of {self.seed}")

    @property
    def kills_servers(self) -> bool:
        """Whether this is one of the histories whose stores are killed."""
        return bool(self.servers) and self.seed % HISTORIES_A_KILL == 0

    def loses_reply(self, step: str) -> bool:
        """Say whether the reply to a step is lost, so that it is asked again."""
        lost = self.random.random() < LOST_REPLIES and not _NOT_TWICE.match(step)
        self.lost_replies += lost
        return lost

    async def between_steps(
        self, model: MemoryLedger, ledgers: Mapping[str, RedisLedger], history: History
    ) -> str:
        """Let something happen or nothing; say what."""
        now_ms = history.clock.now_ms()
        if self.kills_servers and self.random.random() < KILLS:
            for ledger in ledgers.values():
                await _is_in_file(ledger._store)
            for server in self.servers.values():
                await asyncio.to_thread(_kill_and_start, server)
            self.kills += 1
            return "killed"
        if self.random.random() < LAPSES:
            return await self._let_records_lapse(model, ledgers, history)
        if self.random.random() < REBUILDS:
            partition = partition_of(self.random.choice(list(model._accounts)))
            history.forgotten += [
                deepcopy(call)
                for call in model._calls.values()
                if partition_of(call.key.tenant_id) == partition and call.state != "refused"
            ]
            model.reopen(partition, now_ms + SMALL_MS)
            for ledger in ledgers.values():
                await rebuild(ledger, model, partition, now_ms)
            self.rebuilds += 1
            return f"rebuilt {partition}"
        return ""

    async def _let_records_lapse(
        self, model: MemoryLedger, ledgers: Mapping[str, RedisLedger], history: History
    ) -> str:
        over = [at for at, call in model._calls.items() if call.state in _BURIED]
        for tenant_id, call_id in over:
            history.forgotten.append(model._calls.pop((tenant_id, call_id)))
            key = call_key(tenant_id, call_reference(tenant_id, call_id))
            for ledger in ledgers.values():
                assert await ledger._store.command("DEL", key) == 1
        self.lapsed += len(over)
        return f"{len(over)} records lapsed"


@contextmanager
def running_servers() -> Iterator[dict[str, OwnRedis]]:
    """Run each server that is installed, in a folder of its own, while the block lasts."""
    installed = {name: binary for name, binary in binaries().items() if binary is not None}
    folder = Path(tempfile.mkdtemp(prefix="cg-"))
    servers = {name: OwnRedis(folder / name, binary) for name, binary in installed.items()}
    try:
        for server in servers.values():
            server.start()
        yield servers
    finally:
        for server in servers.values():
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


async def rebuild(ledger: RedisLedger, model: MemoryLedger, partition: int, now_ms: int) -> None:
    """Fill a partition of a store anew, with the accounts of a model that was reopened."""
    keeping, last = Keeping(ledger._store), await JournalReader(ledger._store).last(partition)
    assert last is not None
    epoch, nonce = last.epoch + 1, f"reopened{last.n}"
    end = JournalEnd(last.n, last.nonce)
    assert await keeping.close(partition, epoch=epoch, last=end)
    assert await keeping.drop_calls(partition, epoch=epoch)
    for tenant_id, account in model._accounts.items():
        if partition_of(tenant_id) == partition:
            image = _image(account)
            assert await keeping.restore(partition, epoch=epoch, account=image)
    assert await keeping.reopen(
        partition,
        epoch=epoch,
        end=JournalEnd(last.n + 1, nonce),
        previous_nonce=last.nonce,
        now_ms=now_ms,
        small_until_ms=now_ms + SMALL_MS,
    )


async def _is_in_file(store: Store) -> None:
    """Wait for what a store has answered and not written to its append-only file.

    It writes before it answers, but for up to two seconds where the disk is still busy with the
    last. What is lost of that by a kill is for the rebuild, which these histories play by itself.
    """
    async with asyncio.timeout(_FILE_SECONDS):
        while True:
            (told,) = await store.every_node("INFO", "persistence")
            if b"aof_buffer_length:0\r" in told:
                return
            await asyncio.sleep(_FILE_LOOK_SECONDS)


def _kill_and_start(server: OwnRedis) -> None:
    server.kill()
    server.start()


def _image(account: Account) -> RestoredAccount:
    return RestoredAccount(
        balance=Balance(
            tenant_id=account.tenant_id,
            currency=account.currency,
            available_micros=account.available_micros,
            reserved_micros=0,
            funded_micros=account.funded_micros,
            debited_micros=account.debited_micros,
            expired_micros=account.expired_micros,
            refunded_micros=account.refunded_micros,
            voided_micros=account.voided_micros,
            post_paid_micros=account.post_paid_micros,
            owed_micros=account.owed_micros,
        ),
        prepaid=account.prepaid,
        digest=account.digest,
        version=account.version,
        frozen=account.frozen,
        credit_limit_micros=account.credit_limit_micros,
        freezing_ms=account.asked_ms.get("freezing", 0),
        limiting_ms=account.asked_ms.get("limiting", 0),
        lots=tuple(
            RestoredLot(lot.lot_id, lot.expire_ms, lot.bought_ms, lot.left_micros, lot.voided)
            for lot in account.oldest_lots()
        ),
        tallies=tuple((name, tally.done) for name, tally in account.tallies.items() if tally.done),
        known=tuple((known_id, " ".join(what)) for known_id, what in account.known.items()),
    )
