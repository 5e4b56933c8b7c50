"""Rounds of work in a database that are done only where somebody wrote there."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from server.storage.sql.database import Database

# What becomes due by time alone, and by no write, is found after this long.
LONGEST_REST_SECONDS = 5.0


def _nothing_waits() -> bool:
    return False


@dataclass(slots=True)
class Gate:
    """Lets rounds of one kind of work pass where it may have something to do.

    That is where something was written since the last round began, that one's own writes included,
    and where something `waits` for a time to come. Of a database that cannot tell, each round is
    let pass.
    """

    database: Database
    waits: Callable[[], bool] = _nothing_waits
    seconds: Callable[[], float] = time.monotonic
    _mark: object = None
    _passed_at: float = 0.0

    async def passed(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do a round, or leave it. One that fails is not done, and passes again."""
        mark, now = self.database.write_mark(), self.seconds()
        rested = now - self._passed_at >= LONGEST_REST_SECONDS
        if mark is None or mark != self._mark or rested or self.waits():
            self._mark = None
            await work()
            self._mark, self._passed_at = mark, now
