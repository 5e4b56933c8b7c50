"""Lines that anybody can cause by asking: a few a minute of each kind, then only their number."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

MOST_LINES = 10
SECONDS = 60.0


@dataclass(slots=True)
class _Kind:
    since: float
    written: int = 0
    left_out: int = 0


class Seldom:
    """Writes to a log what may come a thousand times a second.

    Lines of one kind have the same text before its arguments are filled in. What was left out is
    told with the next line of the kind that is written.
    """

    def __init__(self, log: logging.Logger, now: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._now = now
        self._kinds: dict[str, _Kind] = {}

    def tell(
        self, level: int, text: str, *arguments: object, error: BaseException | None = None
    ) -> None:
        """Write a line, with the traceback of *error*, unless there were many of its kind."""
        now = self._now()
        kind = self._kinds.setdefault(text, _Kind(now))
        if now - kind.since >= SECONDS:
            kind.since, kind.written = now, 0
        if kind.written >= MOST_LINES:
            kind.left_out += 1
            return
        kind.written += 1
        if kind.left_out:
            text += " (%d more lines like this were left out before)"
            arguments += (kind.left_out,)
            kind.left_out = 0
        self._log.log(level, text, *arguments, exc_info=error)
