"""Reading both folders as one, and noticing that a file of them changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from policy.facts import Catalogue, Tenant
from server.facts.catalogue import read_catalogue
from server.facts.directory import read_directory
from server.facts.files.problems import Problems


@dataclass(frozen=True, slots=True)
class FactsFolders:
    """Where the files of the facts are; tenants have none where the archive keeps them."""

    catalogue: Path
    directory: Path | None


# Name, time of the last change and size of every file.
Signature = tuple[tuple[str, int, int], ...]


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


def _files(folders: FactsFolders) -> Iterator[tuple[str, int, int]]:
    for folder in (folders.catalogue, folders.directory):
        for path in folder.rglob("*") if folder is not None else ():
            try:
                status = path.stat()
            except OSError:  # Gone between the listing and the look: that is a change as well.
                continue
            yield str(path), status.st_mtime_ns, status.st_size
