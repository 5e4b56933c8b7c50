"""What decisions are made from: catalogue and directory, in memory, followed as they change."""

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
