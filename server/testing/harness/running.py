"""Running an engine as a harness: with its keeper in one process, on a clock that a test moves."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import uvloop

from callgate.v1.harness_pb2_grpc import add_HarnessServiceServicer_to_server
from server.app.background import go_on
from server.app.engine import Engine, Making
from server.app.keeper import joined_keeper
from server.app.log import log_to_stderr
from server.app.process import CANNOT_START, EXIT_CANNOT_START
from server.app.running import running_engine
from server.archive.keeper.keeper import Keeper
from server.services.registration import serve
from server.settings import Settings
from server.storage.redis import Store
from server.testing.harness.clock import MovedClock, Shift
from server.testing.harness.faults import Faults, FaultyPayments, FaultyStore
from server.testing.harness.recording import RecordedServer, Recording
from server.testing.harness.scenario import with_scenario
from server.testing.harness.service import Harness
from server.transport import TransportServer

RECORDING_FILE = "recording.jsonl"
ADDRESS_FILE = "address"

_log = logging.getLogger("callgate")


def serve_harness(settings: Settings, scenario: Path | None) -> int:
    """Serve as a harness until SIGTERM or SIGINT; the result is the exit status of the process."""
    log_to_stderr()
    try:
        uvloop.run(_serve(settings, scenario))
    except CANNOT_START as error:
        _log.error("Cannot start: %s", error)
        return EXIT_CANNOT_START
    return 0


async def _serve(settings: Settings, scenario: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running_harness(settings, scenario):
        await stop.wait()


@asynccontextmanager
async def running_harness(settings: Settings, scenario: Path | None) -> AsyncIterator[int]:
    """Run an engine as a harness, on the port that is yielded, while the block lasts.

    Raises what `running_engine` raises.
    """
    if not settings.listen.is_loopback:
        raise OSError(f"a harness listens on the loopback address alone, not on {settings.listen}")
    if scenario is not None:
        settings = with_scenario(settings, scenario)
    # The keeper works in this process; what a test waits for does not wait for a drain.
    settings = replace(
        settings, run_keeper=False, drain_seconds=0, drain_notice_seconds=0, workers=1
    )
    parts = _Parts(settings)
    async with AsyncExitStack() as stack:
        _, port = await stack.enter_async_context(running_engine(settings, None, parts.making()))
        joining = joined_keeper(
            settings,
            parts.make_clock,
            partial(FaultyPayments, faults=parts.faults),
        )
        keeper = await stack.enter_async_context(joining)
        parts.keeper.set_result(keeper)
        stack.callback(parts.close)
        working = asyncio.create_task(go_on("Keeping", keeper.run))
        stack.callback(working.cancel)
        _tell_address(settings, port)
        yield port


def _tell_address(settings: Settings, port: int) -> None:
    """Write where it listens into its folder, whole or not at all: who waits for it reads it."""
    path = settings.data_folder / ADDRESS_FILE
    new = path.with_suffix(".new")
    new.write_text(settings.listen.shown(port), encoding="utf-8")
    new.replace(path)


@dataclass(slots=True)
class _Parts:
    """What a harness has in place of plain parts."""

    settings: Settings
    shift: Shift = field(default_factory=Shift)
    faults: Faults = field(default_factory=Faults)
    # There once the engine serves.
    keeper: asyncio.Future[Keeper] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    stores: list[Store] = field(default_factory=list)
    clock: MovedClock | None = None
    recorded: RecordedServer | None = None

    def making(self) -> Making:
        return Making(
            store=self._make_store,
            clock=self.make_clock,
            around=self._record,
            more_services=self._serve,
        )

    def make_clock(self, store: Store, tolerance_seconds: int) -> MovedClock:
        """Give engine and keeper one clock: what is due for the one is for the other."""
        if self.clock is None:
            self.clock = MovedClock(store, tolerance_seconds, shift=self.shift)
        return self.clock

    def _make_store(self, url: str) -> Store:
        store = FaultyStore(url, self.faults)
        self.stores.append(store)
        return store

    def _record(self, engine: Engine, transport: TransportServer) -> TransportServer:
        path = self.settings.data_folder / RECORDING_FILE
        self.recorded = RecordedServer(transport, Recording(path, engine.now_ms))
        return self.recorded

    def _serve(self, engine: Engine, transport: TransportServer) -> None:
        assert self.recorded is not None, "the transport is wrapped before services are registered"
        harness = Harness(
            shift=self.shift,
            faults=self.faults,
            now_ms=engine.now_ms,
            settle_down=self._settle_down,
            store=self.stores[0],
            cut_streams=self.recorded.cut_streams,
        )
        serve(add_HarnessServiceServicer_to_server, transport, harness)

    def close(self) -> None:
        """Close the recording."""
        if self.recorded is not None:
            self.recorded.recording.close()

    async def _settle_down(self) -> None:
        await settle_down(await self.keeper)


# Until a movement has led to nothing further: a debit to a recharge, that to a notice, and so on.
_MOST_ROUNDS = 12


async def settle_down(keeper: Keeper) -> None:
    """Do all that is due, until a round finds nothing to archive."""
    quiet = 0
    for _ in range(_MOST_ROUNDS):
        quiet = 0 if await keeper.do_all() else quiet + 1
        if quiet == 2:
            return
