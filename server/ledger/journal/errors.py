"""Why a follower ends, and why a place cannot be read on from."""

from __future__ import annotations


class EpochEnded(Exception):
    """The journal that a place belongs to is no more: begin anew with how the account stands."""


class BeyondRetention(Exception):
    """What comes after a place is neither in the store nor in the archive any more."""


class FollowerTooSlow(Exception):
    """A follower left too many entries untaken; it gets no more."""


class TailerStopped(Exception):
    """The process is about to end; a follower has got all that was read."""
