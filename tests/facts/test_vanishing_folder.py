"""Folders that are swapped while they are looked at are looked at again, not given up."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import PosixPath

from fact_files import FactFiles
from server.facts.from_files import FactsFolders, read_signature


class Vanishing(PosixPath):
    """A folder of which a part goes away between its listing and the look at it."""

    def rglob(self, pattern: str) -> Generator[Vanishing, None, None]:
        yield from super().rglob(pattern)
        raise FileNotFoundError(self)


def test_a_folder_that_vanishes_in_mid_look_counts_as_changed(files: FactFiles) -> None:
    folders = files.folders
    seen = read_signature(folders)

    half_seen = read_signature(FactsFolders(Vanishing(folders.catalogue), folders.directory))

    assert half_seen != seen
    assert read_signature(folders) == seen
