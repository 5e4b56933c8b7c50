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
from contextlib import suppress
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
        # Records that the file lacks, because it could not be written.
        self._unwritten: OrderedDict[int, None] = OrderedDict()
        self._last = 0
        self._file: int | None = None
        if path is not None:
            self._file = _open(path)
            self._read()

    def __len__(self) -> int:
        return len(self._records)

    def append(self, record: bytes) -> None:
        """Keep a record; it is safe when this returns.

        Raises `SpoolTrouble`. A record that could not be written is kept for as long as this
        process lives, and written with the next one that can be.
        """
        if len(self._records) >= self._max_records:
            raise SpoolTrouble(f"the spool holds {self._max_records} reports, its limit")
        self._last += 1
        self._records[self._last] = record
        self._unwritten[self._last] = None
        for number in list(self._unwritten):
            self._write(_line(number, self._records[number]))
            del self._unwritten[number]

    def oldest(self) -> tuple[int, bytes] | None:
        """Return number and content of the first record that is not delivered."""
        return next(iter(self._records.items()), None)

    def records(self) -> list[tuple[int, bytes]]:
        """List numbers and contents of all that are not delivered, the oldest first."""
        return list(self._records.items())

    def delivered(self, number: int) -> None:
        """Forget a record. Raises `SpoolTrouble` where the file goes on holding it."""
        if self._records.pop(number, None) is None:
            return
        if self._file is not None and not self._records:
            self._begin_anew(self._file)
        elif number not in self._unwritten:
            self._write(f"d {number}\n")
        self._unwritten.pop(number, None)

    def close(self) -> None:
        """Close the file; what it holds stays for the next time."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, line: str) -> None:
        """Write a line to its end, or leave the file as it was."""
        if self._file is None:
            return
        data = line.encode()
        try:
            size = os.fstat(self._file).st_size
            try:
                # A disk that is nearly full takes a part, and says only then that it is full.
                while data:
                    data = data[os.write(self._file, data) :]
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, size)
                raise
        except OSError as error:
            raise SpoolTrouble(f"the spool cannot be written: {error}") from error

    def _begin_anew(self, file: int) -> None:
        try:
            os.ftruncate(file, 0)
            os.fsync(file)
        except OSError as error:
            raise SpoolTrouble(f"the spool cannot be written: {error}") from error

    def _read(self) -> None:
        assert self._file is not None
        with os.fdopen(os.dup(self._file), "rb") as lines:
            whole = lines.read()
        lines_end = whole.rfind(b"\n") + 1
        for line in whole[:lines_end].splitlines():
            self._read_line(line)
        if lines_end < len(whole):
            self._mend(self._file, lines_end, whole[lines_end:])

    def _mend(self, file: int, lines_end: int, torn: bytes) -> None:
        """See to it that the next line does not grow on to one that a crash tore."""
        last = self._last
        self._read_line(torn)
        if self._last > last:
            # All but its end is there.
            with suppress(SpoolTrouble):
                self._write("\n")
                return
            self._unwritten[self._last] = None
        os.ftruncate(file, lines_end)

    def _read_line(self, line: bytes) -> None:
        match line.split(b" "):
            case [b"n", number, checksum, text] if _is_number(number, checksum):
                record = _decoded(text)
                if record is not None and zlib.crc32(record) == int(checksum):
                    self._records[int(number)] = record
                    self._last = max(self._last, int(number))
            case [b"d", number] if _is_number(number):
                self._records.pop(int(number), None)


def _line(number: int, record: bytes) -> str:
    return f"n {number} {zlib.crc32(record)} {base64.b64encode(record).decode()}\n"


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
