"""Who looks on while entries are archived, and writes what follows in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sqlalchemy import Connection

from server.archive.book import Book
from server.archive.changes import Entry
from server.archive.usage import Origin


class BatchWatch(Protocol):
    """Looks on at one batch. What it writes is there exactly if the entries are."""

    def see(self, book: Book, entry: Entry, origin: Origin) -> None:
        """Look at the rows as they are after this entry; change nothing of them."""

    def finish(self) -> None:
        """Write what followed from the batch."""


# Begins to look on at these entries, before the first one is applied.
Watcher = Callable[[Connection, Sequence[Entry]], BatchWatch]
