"""What of a server is still alive: its connections, and servicers that outlast their calls."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol


class Drainable(Protocol):
    """A connection, as its server ends it."""

    def drain(self) -> None:
        """Take no new calls, and close once the running ones are over."""

    def end(self) -> None:
        """End every call and close."""


class Live:
    """Keeps count, so that a server that has stopped has left nothing behind.

    Attributes:
        connections: All that are open.
        calls: Those that have a servicer, or wait for one.
        count_refused: Told why a connection is thrown out.
    """

    def __init__(
        self, max_calls: int, count_refused: Callable[[str], None] = lambda _why: None
    ) -> None:
        self.count_refused = count_refused
        self.calls = 0
        self._max_calls = max_calls
        self.connections: set[Drainable] = set()
        self._lingering: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Event()

    @property
    def is_full_of_calls(self) -> bool:
        """Tell whether no further call should be begun."""
        return self.calls >= self._max_calls

    def add(self, connection: Drainable) -> None:
        """Count a new connection."""
        self.connections.add(connection)

    def discard(self, connection: Drainable) -> None:
        """Forget a connection that is lost."""
        self.connections.discard(connection)
        self._changed.set()

    def linger(self, task: "asyncio.Task[None] | None") -> None:
        """Keep a servicer that is still cleaning up although its call is over."""
        if task is not None and not task.done():
            self._lingering.add(task)
            task.add_done_callback(self._settled)

    async def gone(self) -> None:
        """Wait until nothing is left."""
        while self.connections or self._lingering:
            self._changed.clear()
            await self._changed.wait()

    def _settled(self, task: asyncio.Task[Any]) -> None:
        self._lingering.discard(task)
        self._changed.set()
