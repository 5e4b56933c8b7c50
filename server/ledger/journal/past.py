"""The part of a journal that the store holds no more, as whoever keeps it hands it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ArchivedEntry:
    """One entry of a partition's journal, as the ledger wrote it."""

    epoch: int
    n: int
    nonce: str
    previous_nonce: str
    time_ms: int
    kind: str
    tenant_id: str
    body: str


@dataclass(frozen=True, slots=True)
class JournalSpan:
    """Entries of one epoch of a partition, after `after_n` and before `before_n`.

    Of one tenant only, if one is named; `limit` at most, the oldest ones.
    """

    partition: int
    epoch: int
    after_n: int
    before_n: int
    limit: int
    tenant_id: str = ""


class Past(Protocol):
    """Whoever keeps what left the store; the archive does."""

    async def journal(self, span: JournalSpan) -> tuple[str | None, list[ArchivedEntry]]:
        """Read a span, and the nonce of the entry at `after_n`; None where that is not kept.

        Raises `ArchiveUnavailable`.
        """
