"""The one task of a process that reads journals as they grow, for all who watch in it."""

from __future__ import annotations

from server.journal.follower import Follower
from server.journal.source import JournalSource


class Tailer:
    """Reads the partitions that have followers: when woken, and now and then in any case."""

    def __init__(self, source: JournalSource) -> None:
        self._source = source

    def follower(self, name: str) -> Follower:
        """Make a follower; `name` tells it from others in metrics and logs."""
        return Follower(self, name)

    async def run(self) -> None:
        """Hear wake-ups and read, until cancelled."""
        raise NotImplementedError

    def stop(self) -> None:
        """Tell every follower that no more will come; they are ended by `TailerStopped`."""
        raise NotImplementedError
