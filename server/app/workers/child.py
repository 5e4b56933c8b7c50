"""One worker as its parent keeps it: started, heard, and started again when it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from server.app.workers.channel import Channel, Family, Others, Report
from server.app.workers.merging import left_behind, merged
from server.storage.redis.embedded import die_with_parent

# The first time it is started again at once; each next time later, unless it lived for long.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0
_LONG_LIFE_SECONDS = 60.0

_log = logging.getLogger("callgate")


@dataclass(frozen=True, slots=True)
class Spawn:
    """How a worker is started: what it finds in its environment, and the sockets it inherits."""

    environment: Mapping[str, str]
    listener: socket.socket | None = None

    async def start(self, number: int, channel: socket.socket) -> asyncio.subprocess.Process:
        """Start one. What a terminal sends goes to the parent alone, which tells its workers."""
        inherited = {"channel": channel, "listener": self.listener}
        descriptors = {name: one.fileno() for name, one in inherited.items() if one is not None}
        options = [f"--{name}={descriptor}" for name, descriptor in descriptors.items()]
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "server", "worker", str(number), *options),
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=list(descriptors.values()),
            start_new_session=True,
            preexec_fn=die_with_parent(os.getpid()),
        )


class Worker:
    """Keeps one worker alive until it is told to end.

    `on_report` is called after each report, and answers it with what the others say.
    """

    def __init__(self, number: int, spawn: Spawn, on_report: Callable[[Worker], Others]) -> None:
        self.number = number
        self.restarts = 0
        self.report: Report | None = None
        # What those that were this worker before have counted.
        self.left_behind: list[Family] = []
        self.serves = asyncio.Event()
        # The exit status of one that ended before it served for the first time.
        self.failed_to_start: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._spawn = spawn
        self._on_report = on_report
        self._process: asyncio.subprocess.Process | None = None
        self._ending = asyncio.Event()

    async def keep(self) -> None:
        """Start it, and start it again, until it is told to end."""
        pause_seconds = 0.0
        while not self._ending.is_set():
            started = time.monotonic()
            status = await self._live()
            if self._ending.is_set():
                return
            if not self.serves.is_set():
                self.failed_to_start.set_result(status)
                return
            if time.monotonic() - started > _LONG_LIFE_SECONDS:
                pause_seconds = 0.0
            self.restarts += 1
            _log.error(
                "Worker %d ended with status %d; it is started again%s.",
                *(self.number, status, f" in {pause_seconds:g} s" if pause_seconds else ""),
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause_seconds)
            pause_seconds = min(pause_seconds * 2 or _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def end(self) -> None:
        """Let it drain and end, and do not start it again."""
        self._ending.set()
        self.signal(signal.SIGTERM)

    async def _live(self) -> int:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await self._spawn.start(self.number, theirs)
        self._process = process
        if self._ending.is_set():
            self.end()
        channel = await Channel.open(ours)
        hearing = asyncio.create_task(self._hear(channel))
        try:
            return await process.wait()
        finally:
            self._process = None
            hearing.cancel()
            channel.close()
            if self.report is not None:
                figures = left_behind(self.report.figures)
                self.left_behind = merged([self.left_behind, figures])
                self.report = None

    async def _hear(self, channel: Channel) -> None:
        async for report in channel.reports():
            self.report = report
            if not self.serves.is_set():
                self.serves.set()
            channel.say(self._on_report(self))
