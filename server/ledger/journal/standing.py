"""Where in a journal something is, and how an account stands there."""

from __future__ import annotations

from dataclasses import dataclass

# Before the first entry of an epoch.
NO_NONCE = "-"


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a partition's journal: after entry `n` of `epoch`, whose nonce is `nonce`.

    The nonce tells that entry from another one that took its number after a store lost its tail.
    """

    partition: int
    epoch: int
    n: int
    nonce: str = NO_NONCE


@dataclass(frozen=True, slots=True)
class Standing:
    """The sums of one account at a place. No `available_micros`: there is no balance."""

    place: Place
    currency: str
    available_micros: int | None
    reserved_micros: int
    debited_micros: int
