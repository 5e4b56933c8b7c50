"""A ledger, an archive and keepers between them, on real servers and with a clock to set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, update

from ledgers import ManualClock, a_question, an_account
from policy.decision import CreditsPurse, PayerKind, PoolPurse, Purse
from policy.facts import Rate
from server.archive import AccountImage, Archive, Position, SoughtCall
from server.archive.keeper.figures import Figures
from server.archive.keeper.keeper import Keeper, KeeperParts
from server.archive.keeper.rebuild import Rebuild
from server.archive.keeper.recovery import Recovery
from server.archive.tables import PARTITIONS
from server.ledger import Answer, Balance, ReserveRequest, Use
from server.ledger.decision_context import AskedCall, DecisionContext, ToldPurse, pack
from server.ledger.journal.entries import JournalReader
from server.ledger.keys import partition_of
from server.ledger.maintenance import Keeping
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store
from server.storage.sql.database import Database

Result = TypeVar("Result")

PARTITION = partition_of("contoso")
SMALL_MS = 300_000
JOURNAL_MAX_ENTRIES = 1_000


def context_of(*purses: Purse) -> str:
    """Describe a call of adele to Rome as an answer's context does."""
    described = DecisionContext(
        payer_kind=PayerKind.USER,
        account_id="adele",
        called_number="+390612345678",
        call_type="user_out",
        country="IT",
        label="Italy",
        catalogue_version="catalogue-1",
        directory_version="facts-1",
        currency="USD",
        origin_assumed=False,
        rate=Rate("rate-1", "USD", 60_000, 0, 60, 60),
        location="US",
        own_number="+14255550100",
        asked=AskedCall("user_call", "", "", "", ""),
        purses=tuple(map(_told, purses)),
    )
    return pack(described)


def _told(purse: Purse) -> ToldPurse:
    match purse:
        case PoolPurse():
            return ToldPurse("pool", purse.capability, purse.pool_id, purse.counter, purse.period)
        case CreditsPurse():
            return ToldPurse("credits", purse.capability)
        case _:
            return ToldPurse("free", purse.capability)


@dataclass(slots=True)
class House:
    """One store, one archive, and whoever works between them."""

    store: Store
    archive: Archive
    clock: ManualClock = field(default_factory=ManualClock)

    @property
    def journal(self) -> JournalReader:
        return JournalReader(self.store)

    @property
    def rebuild(self) -> Rebuild:
        return Rebuild(
            self.journal,
            Keeping(self.store),
            self.archive,
            now_ms=self.clock.now_ms,
            small_ms=SMALL_MS,
        )

    @property
    def ledger(self) -> RedisLedger:
        """A ledger as a server has it: it opens partitions through the archive."""
        recovery = Recovery(self.journal, self.archive, self.rebuild)
        return RedisLedger(self.store, self.clock, recovery)

    @property
    def parts(self) -> KeeperParts:
        return KeeperParts(
            ledger=self.ledger,
            journal=self.journal,
            keeping=Keeping(self.store),
            archive=self.archive,
            rebuild=self.rebuild,
            now_ms=self.clock.now_ms,
        )

    def keeper(self) -> Keeper:
        return Keeper(self.parts, Figures(JOURNAL_MAX_ENTRIES))

    async def open(self, balance: int | None = 6_000_000, tenant: str = "contoso") -> None:
        ledger = self.ledger
        await ledger.install()
        await ledger.open_account(an_account(balance, tenant=tenant))

    async def reserve(
        self,
        call_id: str,
        sequence: int = 1,
        *purses: Purse,
        want: int = 60,
        used: int = 0,
        uses: tuple[Use, ...] = (),
    ) -> Answer:
        request = ReserveRequest(
            question=a_question(call_id, sequence),
            purses=purses,
            refusal=None,
            want_seconds=want,
            context=context_of(*purses),
            used_seconds=used,
            uses=uses,
        )
        return await self.ledger.reserve(request)

    async def settle(self, call_id: str, sequence: int, used: int) -> None:
        await self.ledger._report("settle", a_question(call_id, sequence), used)

    async def release(self, call_id: str, sequence: int) -> None:
        await self.ledger.release(a_question(call_id, sequence))

    async def balance(self) -> Balance:
        return await self.ledger.read_balance("contoso")

    async def image(self) -> AccountImage:
        """What the archive would open the account with."""
        (image,) = (await self.archive.preview(PARTITION, [])).accounts
        return image


def sought(call_id: str = "call-1", decision_id: str = "", since_ms: int = 0) -> SoughtCall:
    """Name a call of contoso's first gateway for the archive."""
    return SoughtCall("contoso", "sbc-1", call_id, decision_id, since_ms)


async def drained(house: House) -> Keeper:
    """Let a keeper drain all that waits."""
    keeper = house.keeper()
    await keeper.discover()
    await keeper.drain()
    return keeper


async def go_back(house: House, position: Position) -> None:
    """Have the archive stand where it stood, as one that was restored from an old copy does."""
    place = {"epoch": position.epoch, "n": position.n, "nonce": position.nonce}
    here = PARTITIONS.c.partition == PARTITION
    await house.archive.database.write(
        lambda connection: connection.execute(update(PARTITIONS).where(here).values(**place))
    )


async def fresh_archive(url: str) -> Archive:
    archive = Archive(Database(url))
    await archive.migrate()
    return archive


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder}/archive.sqlite"


class Gate:
    """Counts a worker's steps once it is armed, holds it before one of them until it is opened."""

    def __init__(self, closed_before: int) -> None:
        self._closed_before = closed_before
        self._steps = 0
        self.armed = False
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def step(self) -> None:
        self._steps += self.armed
        if self.armed and self._steps == self._closed_before:
            self.reached.set()
            await self.opened.wait()


class GatedStore(Store):
    """A store whose client falls asleep before one of its commands."""

    def __init__(self, url: str, gate: Gate) -> None:
        super().__init__(url)
        self._gate = gate

    async def command(self, *parts: str | bytes | int) -> Any:
        await self._gate.step()
        return await super().command(*parts)


class GatedDatabase(Database):
    """A database whose client falls asleep before one of its transactions."""

    def __init__(self, url: str, gate: Gate) -> None:
        super().__init__(url)
        self._gate = gate

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        await self._gate.step()
        return await super().read(work)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        await self._gate.step()
        return await super().write(work)
