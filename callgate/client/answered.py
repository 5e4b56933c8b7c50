"""Ends of calls that were answered, kept a while: a store may lose the last of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

# An engine archives an end within seconds, or when its archive is back.
KEEP_SECONDS = 3_600.0
MAX_RECORDS = 50_000


class Answered:
    """The last answered ends, as the spool writes them. They are lost with the process."""

    def __init__(
        self, now: Callable[[], float] = time.monotonic, max_records: int = MAX_RECORDS
    ) -> None:
        self._now = now
        self._kept: deque[tuple[float, bytes]] = deque(maxlen=max_records)

    def keep(self, record: bytes) -> None:
        """Keep one more; those that are too old, or too many, go."""
        now = self._now()
        while self._kept and self._kept[0][0] < now - KEEP_SECONDS:
            self._kept.popleft()
        self._kept.append((now, record))

    def recent(self) -> list[bytes]:
        """List those that are not too old, the oldest first."""
        oldest = self._now() - KEEP_SECONDS
        return [record for at, record in self._kept if at >= oldest]
