"""Having every process read the files anew, and waiting until each serves what it found there.

Whoever asks writes a number into the store; each process reads its files when it sees a new one,
and writes beside its name how far it is. Nothing is decided by it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

import msgspec

from server.facts.in_use import FactsInUse
from server.storage.redis import Store, StoreUnavailable

# Hash: the number of the newest request, the losses it asks for, and when it was made. It is of no
# partition, and no record.
REQUEST = "callgate:reload"
# Hash: of each process that serves how far it is, by a name of its own. Of no partition likewise.
PROCESSES = "callgate:processes"
LOOK_SECONDS = 0.5
# Who has not written for so long is gone.
LIFETIME_SECONDS = 10.0
_ROUNDS_BETWEEN_WORDS = 4
# A process that starts has read its files a moment ago; what was asked earlier it has done.
_NEW_SECONDS = 60.0
_NAME_BYTES = 8


class ProcessFacts(msgspec.Struct, frozen=True):
    """What one process serves: how far it is, by which versions, and what was wrong last."""

    name: str
    until: float
    done: int
    catalogue_version: str
    directory_version: str
    problems: tuple[str, ...] = ()

    @property
    def version(self) -> tuple[str, str]:
        """What is the same in processes that serve the same."""
        return self.catalogue_version, self.directory_version


class Reloads:
    """Does for one process what is asked of all. Raises `StoreUnavailable`."""

    def __init__(self, store: Store, facts: FactsInUse) -> None:
        self.store = store
        self._facts = facts
        self._name = secrets.token_hex(_NAME_BYTES)
        self._done: int | None = None
        self._problems: tuple[str, ...] = ()

    async def run(self) -> None:
        """Look again and again, until cancelled; then be waited for no more."""
        reading: asyncio.Task[None] | None = None
        rounds = 0
        try:
            while True:
                is_done = reading is not None and reading.done()
                with suppress(StoreUnavailable):
                    if reading is None or is_done:
                        reading = await self._begin()
                    if is_done or rounds % _ROUNDS_BETWEEN_WORDS == 0:
                        await self._tell()
                rounds += 1
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            if reading is not None:
                reading.cancel()
            with suppress(StoreUnavailable):
                await self.store.command("HDEL", PROCESSES, self._name)

    async def _begin(self) -> asyncio.Task[None] | None:
        """Begin to do what is asked, if anything is."""
        number, losing, asked = await self.store.command(
            "HMGET", REQUEST, "number", "losing", "asked"
        )
        newest = int(number or 0)
        if self._done is None and (not newest or float(asked) < time.time() - _NEW_SECONDS):
            self._done = newest
        if newest == self._done:
            return None
        return asyncio.create_task(self._read(newest, msgspec.json.decode(losing, type=list[str])))

    async def _read(self, number: int, losing: Collection[str]) -> None:
        report = await self._facts.reload(losing)
        if self._facts.archived is not None:
            self._facts.archived.look_soon()
        behind = [f"the account of {each} keeps its old facts" for each in report.behind]
        self._done, self._problems = number, (*report.problems, *behind)

    async def _tell(self) -> None:
        now = self._facts.current
        told = ProcessFacts(
            self._name,
            time.time() + LIFETIME_SECONDS,
            self._done or 0,
            now.catalogue.version,
            now.directory.version,
            self._problems,
        )
        await self.store.command("HSET", PROCESSES, self._name, msgspec.json.encode(told))


async def ask_for_reload(store: Store, losing: Collection[str] = ()) -> int:
    """Ask every process to read its files; the result is the number to wait for.

    `losing` names what may be lost. Raises `StoreUnavailable`.
    """
    number = int(await store.command("HINCRBY", REQUEST, "drawn", 1))
    words = "losing", msgspec.json.encode(sorted(losing)), "asked", str(time.time())
    await store.command("HSET", REQUEST, "number", number, *words)
    return number


async def wait_for_reload(
    store: Store, number: int, told: Callable[[Sequence[ProcessFacts]], None] = lambda _: None
) -> list[ProcessFacts]:
    """Wait until every process that serves has read its files; say what each serves then.

    `told` hears at each look how far they are. Raises `StoreUnavailable`.
    """
    while True:
        found = await processes(store)
        told(found)
        if found and all(each.done >= number for each in found):
            return found
        await asyncio.sleep(LOOK_SECONDS)


async def processes(store: Store) -> list[ProcessFacts]:
    """List those that serve; who is gone is forgotten. Raises `StoreUnavailable`."""
    found = await store.command("HVALS", PROCESSES)
    each = [msgspec.json.decode(text, type=ProcessFacts) for text in found]
    gone = [one.name for one in each if one.until < time.time()]
    if gone:
        await store.command("HDEL", PROCESSES, *gone)
    return sorted((one for one in each if one.name not in gone), key=lambda one: one.name)
