"""Reading both folders as one, and noticing that a file of them changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from policy.facts import Catalogue, Tenant
from server.facts.catalogue import read_catalogue
from server.facts.directory import read_directory
from server.facts.files.problems import Problems

# Where the settings do not say.
MOST_LOST_PERCENT = 20


@dataclass(frozen=True, slots=True)
class FactsFolders:
    """Where the files of the facts are; tenants have none where the archive keeps them.

    Of a table no more than `most_lost_percent` go at once, unless that is asked for by name.
    """

    catalogue: Path
    directory: Path | None
    most_lost_percent: int = MOST_LOST_PERCENT


# Of every file its name, inode, size, and when its content and its inode changed last: a copy that
# keeps the times of what it copies has another inode, and one that is put in its place too.
Signature = tuple[tuple[str, int, int, int, int], ...]


def read_facts(folders: FactsFolders) -> tuple[Catalogue, dict[str, Tenant]]:
    """Read and check both folders as a whole. Raises `InvalidFacts` with every mistake in them."""
    problems = Problems()
    files = read_catalogue(folders.catalogue, problems)
    tenants = {}
    if folders.directory is not None:
        tenants = read_directory(folders.directory, files, problems).tenants
    problems.raise_if_any()
    return files.catalogue, tenants


def read_signature(folders: FactsFolders) -> Signature:
    """Look at every file without opening it; equal where none has changed.

    Nothing is seen of folders that change while they are listed; the next look sees the rest.
    """
    try:
        return tuple(sorted(_files(folders)))
    except OSError:
        return ()


def _files(folders: FactsFolders) -> Iterator[tuple[str, int, int, int, int]]:
    for folder in (folders.catalogue, folders.directory):
        for path in folder.rglob("*") if folder is not None else ():
            try:
                status = path.stat()
            except OSError:  # Gone between the listing and the look: that is a change as well.
                continue
            times = status.st_mtime_ns, status.st_ctime_ns
            yield str(path), status.st_ino, status.st_size, *times
