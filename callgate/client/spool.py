"""Reports that could not be delivered, kept in a file until they are.

One line a record, appended and synced before anybody relies on it: "n <number> <crc> <base64>" is a
report, "d <number>" says that it was delivered. A line that a power cut tore is left out. When all
are delivered the file begins anew, so that it stays as long as the trouble did.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import os
import zlib
from collections import OrderedDict
from pathlib import Path

from callgate.errors import SpoolTrouble

MAX_RECORDS = 100_000


class Spool:
    """Records in the order in which they came. Without a path they are lost with the process.

    Raises `SpoolTrouble` where another process uses the file, or it cannot be written.
    """

    def __init__(self, path: Path | None = None, max_records: int = MAX_RECORDS) -> None:
        self._max_records = max_records
        self._records: OrderedDict[int, bytes] = OrderedDict()
        self._last = 0
        self._file: int | None = None
        if path is not None:
            self._file = _open(path)
            self._read()

    def __len__(self) -> int:
        return len(self._records)

    def append(self, record: bytes) -> None:
        """Keep a record; it is safe when this returns. Raises `SpoolTrouble`."""
        if len(self._records) >= self._max_records:
            raise SpoolTrouble(f"the spool holds {self._max_records} reports, its limit")
        self._last += 1
        self._write(f"n {self._last} {zlib.crc32(record)} {base64.b64encode(record).decode()}\n")
        self._records[self._last] = record

    def oldest(self) -> tuple[int, bytes] | None:
        """Return number and content of the first record that is not delivered."""
        return next(iter(self._records.items()), None)

    def delivered(self, number: int) -> None:
        """Forget a record. Raises `SpoolTrouble`."""
        if self._file is not None and len(self._records) == 1:
            os.ftruncate(self._file, 0)
            os.fsync(self._file)
        else:
            self._write(f"d {number}\n")
        self._records.pop(number, None)

    def close(self) -> None:
        """Close the file; what it holds stays for the next time."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, line: str) -> None:
        if self._file is None:
            return
        try:
            # One write of one line: what a crash leaves is the whole line or a torn one.
            os.write(self._file, line.encode())
            os.fsync(self._file)
        except OSError as error:
            raise SpoolTrouble(f"the spool cannot be written: {error}") from error

    def _read(self) -> None:
        assert self._file is not None
        with os.fdopen(os.dup(self._file), "rb") as lines:
            whole = lines.read()
        for line in whole.splitlines():
            self._read_line(line)
        if whole and not whole.endswith(b"\n"):
            # The next line must not grow on to a torn one.
            self._write("\n")

    def _read_line(self, line: bytes) -> None:
        match line.split(b" "):
            case [b"n", number, checksum, text] if _is_number(number, checksum):
                record = _decoded(text)
                if record is not None and zlib.crc32(record) == int(checksum):
                    self._records[int(number)] = record
                    self._last = max(self._last, int(number))
            case [b"d", number] if _is_number(number):
                self._records.pop(int(number), None)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(opened)
        raise SpoolTrouble(f"{path} is in use by another process") from error
    return opened


def _is_number(*texts: bytes) -> bool:
    return all(text.isdigit() for text in texts)


def _decoded(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
