"""The facts in use: read at the start, kept in memory, read anew off the loop, taken in slices."""

from server.factfiles.problems import InvalidFacts, Problem
from server.facts.keeper import FactsKeeper, FactsReport, Snapshot
from server.facts.reading import FactsFolders, read_facts

__all__ = [
    "FactsFolders",
    "FactsKeeper",
    "FactsReport",
    "InvalidFacts",
    "Problem",
    "Snapshot",
    "read_facts",
]
