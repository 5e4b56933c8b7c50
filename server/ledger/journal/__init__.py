"""Following journals: what every ledger entry moved, told to those in this process who watch.

One `Tailer` a process reads each woken partition once, on a connection of its own, and hands what
it read to every `Follower` of the tenants concerned. Nothing here is waited for by a decision.

    follower = tailer.follower("bridge sbc-1")
    place = await follower.join("contoso")         # All after this place comes.
    while True:
        batch = await follower.next(timeout_seconds=5.0)   # None: it was quiet.
        for movement in batch.movements if batch else ():
            movement.call_id, movement.kind, movement.available_micros, movement.uses

A follower that falls `FOLLOWER_LIMIT` entries behind is ended (`FollowerTooSlow`), one whose
partition was filled anew as well (`EpochEnded`); it then joins again. See docs/streams.md.
"""

from __future__ import annotations

from server.ledger.journal.call_moves import CallMoves, PurseMove
from server.ledger.journal.errors import BeyondRetention, EpochEnded, FollowerTooSlow, TailerStopped
from server.ledger.journal.follower import FOLLOWER_LIMIT, Batch, Follower
from server.ledger.journal.movement import CALL_KINDS, Movement
from server.ledger.journal.source import JournalSource, Page
from server.ledger.journal.standing import Place, Standing
from server.ledger.journal.tailer import Tailer

__all__ = [
    "CALL_KINDS",
    "FOLLOWER_LIMIT",
    "Batch",
    "BeyondRetention",
    "CallMoves",
    "EpochEnded",
    "Follower",
    "FollowerTooSlow",
    "JournalSource",
    "Movement",
    "Page",
    "Place",
    "PurseMove",
    "Standing",
    "Tailer",
    "TailerStopped",
]
