"""Decision records: one line of JSON per decision, written in pieces that no caller waits for.

A decision is kept as it is in memory; a thread puts it into words and writes them, a few at a time:
while it words it holds the interpreter, and with each write it lets it go. What waits is bounded:
when it is full, grants are dropped first and refusals last, and each is counted. The ledger's
journal, not this log, is the record of money.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Protocol

from policy.unseen import TURNING
from server.observability.masks import Masks
from server.observability.spool import Spool

STANDARD_OUTPUT = "-"

# How soon the thread looks again: after it wrote something, and after it found nothing.
_BUSY_SECONDS, _IDLE_SECONDS = 0.02, 0.25
# The thread holds the interpreter while it words a piece: so long, and so many, at the most. Some
# take much longer than others: of a refusal the rules are asked again.
PIECE_SECONDS = 0.0003
_PIECE_RECORDS = 40
_CLOSE_SECONDS = 2.0
_FILE_MODE = 0o600

_DIRECTIONS = re.compile(f"[{TURNING}]")

_log = logging.getLogger(__name__)


class Recorded(Protocol):
    """What is remembered of a decision or report, and puts itself into words."""

    @property
    def is_grant(self) -> bool:
        """Whether it may be dropped before others: a grant, of which the journal tells too."""

    def line(self, masks: Masks) -> bytes:
        """Write it as one line of JSON, numbers and accounts hidden as the masks say."""


# What more is told of a refusal: the members of a JSON object, without its braces, or nothing.
Explain = Callable[[Recorded, Masks], bytes]


class Records:
    """Keeps decisions until its thread has written them, `most` at a time.

    What is written goes into the `spool` as well, where there is one. `explain` is asked in the
    thread, for nobody waits there.
    """

    def __init__(
        self,
        path: str,
        masks: Masks,
        most: int,
        *,
        spool: Spool | None = None,
        explain: Explain | None = None,
    ) -> None:
        self._path = path
        self._masks = masks
        self._most = most
        self._explain = explain
        self.spool = spool
        self._grants: deque[Recorded] = deque()
        self._others: deque[Recorded] = deque()
        self._file = -1
        self._unwritten = b""
        self._reopen = Event()
        self._closing = Event()
        # A daemon: a pipe that nobody reads must not keep the process from ending.
        self._thread = Thread(target=self._run, name="decision-records", daemon=True)
        self.dropped_grants = 0
        self.dropped_refusals = 0
        self.failed_writes = 0

    def start(self) -> None:
        """Open the file and begin to write. Raises OSError."""
        self._open()
        self._thread.start()

    def keep(self, decided: Recorded) -> None:
        """Keep one decision or report; never waits, never fails."""
        if len(self._grants) + len(self._others) >= self._most:
            self._make_room()
        (self._grants if decided.is_grant else self._others).append(decided)

    def reopen(self) -> None:
        """Open the file anew before the next write: a log rotation moved it."""
        self._reopen.set()

    def close(self) -> None:
        """Write what is left, within two seconds; blocks the caller for so long."""
        self._closing.set()
        self._thread.join(_CLOSE_SECONDS)

    @property
    def waiting(self) -> int:
        """How many decisions wait to be written."""
        return len(self._grants) + len(self._others)

    def _make_room(self) -> None:
        # The thread may empty either in between.
        try:
            self._grants.popleft()
            self.dropped_grants += 1
        except IndexError:
            self._others.popleft()
            self.dropped_refusals += 1

    def _run(self) -> None:
        closing, pause = False, _IDLE_SECONDS
        while not closing:
            closing = self._closing.wait(pause)
            pause = _BUSY_SECONDS if self.waiting else _IDLE_SECONDS
            try:
                self._write_all()
            except OSError as error:
                self.failed_writes += 1
                _log.warning("Decision records cannot be written to %s: %s", self._path, error)
        if self.spool is not None:
            self.spool.close()

    def _write_all(self) -> None:
        if self._reopen.is_set():
            self._open()
            self._reopen.clear()
        while self._unwritten or self.waiting:
            if not self._unwritten:
                self._unwritten = _harmless(self._word_a_piece())
                if self.spool is not None:
                    self.spool.write(self._unwritten)
            # What a full disk refused in the middle of a line goes on there.
            while self._unwritten:
                written = os.write(self._file, self._unwritten)
                self._unwritten = self._unwritten[written:]

    def _line(self, one: Recorded) -> bytes:
        try:
            line = one.line(self._masks)
            more = b"" if self._explain is None else self._explain(one, self._masks)
            if not more:
                return line
            # An explanation takes as long as ten lines: others have the interpreter in between.
            time.sleep(0)
            return line[:-2] + b"," + more + b"}\n"
        except Exception:  # noqa: BLE001 -- One that cannot be told must not end all that follow.
            self.failed_writes += 1
            _log.exception("A decision record could not be put into words.")
            return b""

    def _oldest(self) -> Recorded:
        return (self._others or self._grants).popleft()

    def _word_a_piece(self) -> bytes:
        lines: list[bytes] = []
        until = perf_counter() + PIECE_SECONDS
        while self.waiting and len(lines) < _PIECE_RECORDS:
            lines.append(self._line(self._oldest()))
            if perf_counter() >= until:
                break
        return b"".join(lines)

    def _open(self) -> None:
        if self._path == STANDARD_OUTPUT:
            self._file = 1
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        file = os.open(Path(self._path), flags, _FILE_MODE)
        if self._file >= 0:
            os.close(self._file)
        self._file = file


def _harmless(lines: bytes) -> bytes:
    """Escape, as JSON may, what turns the direction of writing round or ends a line elsewhere.

    It stands nowhere but in strings.
    """
    if lines.isascii():
        return lines
    return _DIRECTIONS.sub(lambda sign: f"\\u{ord(sign[0]):04x}", lines.decode()).encode()
