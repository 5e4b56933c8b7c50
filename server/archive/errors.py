"""What the archive raises."""

from __future__ import annotations

from server.archive.changes import Position
from server.storage.sql.errors import ArchiveError


class EntryUnfit(ArchiveError):
    """An entry names an account or lot that the archive does not know. Nothing was written."""


class PositionMoved(ArchiveError):
    """The archive stands elsewhere: somebody else wrote. Nothing was written."""

    def __init__(self, position: Position | None) -> None:
        super().__init__(f"the archive stands at {position}")
        self.position = position
