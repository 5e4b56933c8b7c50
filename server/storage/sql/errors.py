"""Why SQL could not be asked."""

from __future__ import annotations


class ArchiveError(Exception):
    """Anything the archive could not do."""


class ArchiveUnavailable(ArchiveError):
    """The database is away, slow or locked; nothing is known to have happened. Ask again."""


class ArchiveUnusable(ArchiveError):
    """The database cannot be used as it is; the text is for an operator."""
