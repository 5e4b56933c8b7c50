"""How much a process has on its hands, and how much more it takes before it sheds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from callgate.v1.authorization_pb2 import AuthorizeCallRequest
from policy.emergency import is_beyond_emergency


class Overloaded(Exception):
    """There is more to do than can be done in time; this question was not looked into."""


# However slow everything is, so many questions may wait for the ledger: else nothing would show
# that it is quick again.
LEAST_WAITING = 32
# However quick everything is, no more than these: at ten thousand a second, a tenth of a second.
MOST_WAITING = 1_024
# Reports about running calls are taken for longer than new calls are: who cannot extend ends a
# call that people talk on, and who cannot settle keeps money held.
REPORTS_FACTOR = 4
LOOK_SECONDS = 0.02
# Of the time in which an answer is promised, what it may wait for its turn. At five times the
# capacity those that were taken before it showed wait four times as long.
_PART_OF_DEADLINE = 0.1
_MOST_SHRINK, _LEAST_SHRINK, _GROW = 0.5, 0.95, 1.125


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for the ledger: how many commands, and for how long the oldest does."""

    count: Callable[[], int]
    oldest_seconds: Callable[[], float]


class LoadShedder:
    """Keeps the line of questions that wait for the ledger short enough to be answered in time.

    More than the limit are shed at once. Fifty times a second it is looked whether the oldest
    question, or the loop itself, is behind; if so the limit shrinks, else it grows again.
    """

    def __init__(self, waiting: Waiting, deadline_seconds: float) -> None:
        self._waiting = waiting
        self._most_behind_seconds = deadline_seconds * _PART_OF_DEADLINE
        self.limit: float = MOST_WAITING

    @property
    def waiting(self) -> int:
        """How many commands wait for the ledger's reply."""
        return self._waiting.count()

    def sheds(self, request: AuthorizeCallRequest) -> bool:
        """Tell, before anything else is looked at, whether a question is too much now.

        Never one that may be about an emergency, nor one that announces a running call.
        """
        if self._waiting.count() < self.limit:
            return False
        may_be_an_emergency = not is_beyond_emergency(request.called_number)
        return not (may_be_an_emergency or request.HasField("running_call"))

    def check_call(self) -> None:
        """Let a question about a new call pass. Raises `Overloaded`."""
        if self._waiting.count() >= self.limit:
            raise Overloaded

    def check_report(self) -> None:
        """Let a report about a running call pass. Raises `Overloaded`."""
        if self._waiting.count() >= self.limit * REPORTS_FACTOR:
            raise Overloaded

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK_SECONDS
            await asyncio.sleep(LOOK_SECONDS)
            self.look(loop.time() - due)

    def look(self, late_seconds: float) -> None:
        """Set the limit by how late the loop is, and how long the oldest question waits."""
        behind_seconds = max(late_seconds, self._waiting.oldest_seconds())
        most_seconds = self._most_behind_seconds
        if behind_seconds <= most_seconds:
            self.limit = min(MOST_WAITING, self.limit * _GROW)
            return
        # As many as are answered in the time that is left to them, if they are answered as fast
        # as those that wait now.
        shrink = min(_LEAST_SHRINK, max(_MOST_SHRINK, most_seconds / behind_seconds))
        self.limit = max(LEAST_WAITING, min(self.limit, self._waiting.count()) * shrink)
