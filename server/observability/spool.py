"""Decision records on their way to the archive: files that a keeper takes up and then removes.

Each process writes files of its own, one after the other, and holds a lock on the one it writes:
one that nobody holds is complete. Nothing waits for a keeper; what does not fit is counted.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import time
from pathlib import Path

from server.storage.private import FILE_MODE, private_folder

FOLDER, SUFFIX = "decisions", ".jsonl"

# A keeper that starts anew reads a file from its beginning, so files are short.
FILE_BYTES = 2 * 1_024 * 1_024
_TOKEN_BYTES = 6
_NS_PER_MS = 1_000_000
# How soon it is looked again whether there is room.
_LOOK_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Spool:
    """Files of records in `folder`, at most `most_bytes` of all processes together."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._file = -1
        self._size = 0
        self._look_at = 0.0
        self._told = False
        self.lost = 0

    def write(self, lines: bytes) -> None:
        """Keep whole lines; never fails."""
        try:
            kept = self._write(lines)
        except OSError as error:
            self._close()
            self._tell(str(error))
            kept = False
        self.lost += 0 if kept else lines.count(b"\n")
        self._told = self._told and not kept

    def close(self) -> None:
        """Leave the last file to a keeper."""
        self._close()

    def _write(self, lines: bytes) -> bool:
        if self._size >= FILE_BYTES:
            self._close()
        if self._file < 0 and not self._open():
            return False
        written = os.write(self._file, lines)
        self._size += written
        if written < len(lines):
            # The half line ends this file, where it is passed over.
            self._close()
        return written == len(lines)

    def _open(self) -> bool:
        now = time.monotonic()
        if now < self._look_at:
            return False
        private_folder(self._folder)
        taken = sum(_size_of(entry) for entry in os.scandir(self._folder))
        if taken >= self._most_bytes:
            self._look_at = now + _LOOK_SECONDS
            self._tell(f"{self._folder} holds {taken} bytes that no keeper has taken up")
            return False
        name = f"{time.time_ns() // _NS_PER_MS:013d}-{secrets.token_hex(_TOKEN_BYTES)}{SUFFIX}"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        # Locked before it has the name that keepers look for.
        unnamed = self._folder / f"{name}.new"
        self._file, self._size = os.open(unnamed, flags, FILE_MODE), 0
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(self._folder / name)
        return True

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file, self._size = -1, 0

    def _tell(self, why: str) -> None:
        if not self._told:
            _log.warning("Decision records do not reach the archive: %s", why)
        self._told = True


def is_complete(file: int) -> bool:
    """Tell whether no process writes to an open file of a spool any more."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _size_of(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        # A keeper took it just now.
        return 0
