"""The library of functions that is the ledger in Redis, put together from its sources."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

LIBRARY = "callgate_v1"
# Asks as `reserve` does, in the few arguments of a first question.
RESERVE_FIRST = "reserve_first"
# In this order: a function is known to those that follow it.
SOURCES = (
    "base",
    "purses",
    "account",
    "call",
    "walk",
    "lots",
    "plan",
    "terms",
    "legs",
    "reserve",
    "report",
    "opening",
    "money",
)


@lru_cache(maxsize=1)
def library_code() -> str:
    """Join the sources; a store is sent them as one library."""
    folder = files("server.ledger").joinpath("functions")
    return "\n".join([folder.joinpath(f"{name}.lua").read_text() for name in SOURCES])
