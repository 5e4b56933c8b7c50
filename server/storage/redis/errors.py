"""What goes wrong with a store, in three words, and how long one waits for it."""

from __future__ import annotations

from dataclasses import dataclass

# By these words a server says that it cannot do this now, though it is there.
_NOT_NOW = (
    "ASK",
    "BUSY",
    "CLUSTERDOWN",
    "FAILOVER",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNBLOCKED",
)
_FUNCTION_MISSING = "Function not found"


class StoreUnavailable(Exception):
    """The store is away, slow, read-only, loading or full; nothing is known to have happened."""


class StoreRefused(Exception):
    """The store answered with an error of its own; the text is its reason."""


class FunctionMissing(StoreRefused):
    """The library of functions is not loaded there."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the store may take, in seconds.

    `reply_seconds` is for one question with all its repeats, and for one reply on a connection: an
    older one unanswered ends the connection.
    """

    connect_seconds: float = 1.0
    reply_seconds: float = 2.0


def named(text: str) -> StoreUnavailable | StoreRefused:
    """Name the error that a server answered with."""
    if text.startswith(_NOT_NOW):
        return StoreUnavailable(text)
    if _FUNCTION_MISSING in text:
        return FunctionMissing(text)
    return StoreRefused(text)
