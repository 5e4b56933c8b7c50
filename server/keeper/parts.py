"""What a keeper works with, and whoever looks after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.archive import Archive
from server.keeper.rebuild import Rebuild
from server.ledger import Ledger
from server.ledger.journal import JournalReader
from server.ledger.keeping import Keeping


@dataclass(frozen=True, slots=True)
class KeeperParts:
    """What a keeper works with."""

    ledger: Ledger
    journal: JournalReader
    keeping: Keeping
    archive: Archive
    rebuild: Rebuild
    now_ms: Callable[[], int]
