"""The facts in use: read at the start, kept in memory, read anew off the loop, taken in slices."""

from server.facts.files.problems import InvalidFacts, Problem
from server.facts.from_files import FactsFolders, read_facts
from server.facts.in_use import FactsInUse, FactsReport, Snapshot

__all__ = [
    "FactsFolders",
    "FactsInUse",
    "FactsReport",
    "InvalidFacts",
    "Problem",
    "Snapshot",
    "read_facts",
]
