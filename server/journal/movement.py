"""What one entry of a journal moved, as those who watch understand it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from server.ledger.journal import JournalEntry
from server.ledger.questions import Use

# Kinds of entries about a call: each but "expired" is the answer to a question about it.
CALL_KINDS = frozenset({"reserved", "extended", "settled", "released", "ended", "expired"})


@dataclass(frozen=True, slots=True)
class MovedPurse:
    """A purse by name. `kind` is "free", "pool" or "credits"; only a pool has the last three."""

    kind: str
    capability: str = ""
    pool_id: str = ""
    counter: str = ""
    period: str = ""


@dataclass(frozen=True, slots=True)
class PurseMove:
    """By how much one purse changed: what is held of it (negative: given back) and was debited.

    `added_micros` came in with the lot `lot_id`, or (negative) left with it unused.
    """

    purse: MovedPurse
    held_seconds: int = 0
    held_micros: int = 0
    debited_seconds: int = 0
    debited_micros: int = 0
    added_micros: int = 0
    lot_id: str = ""


class Movement:
    """One entry of a journal. What is not asked for is not worked out; what is, once for all."""

    def __init__(self, entry: JournalEntry) -> None:
        self.entry = entry

    @property
    def kind(self) -> str:
        """What happened: one of `CALL_KINDS`, or "opened", "described", "topped_up" ..."""
        return self.entry.kind

    @cached_property
    def fields(self) -> Mapping[str, str]:
        """The lines of the entry by name, as the ledger wrote them."""
        return self.entry.fields

    @property
    def tenant_id(self) -> str:
        """Whose account it is; empty for an entry about the partition itself."""
        raise NotImplementedError

    @property
    def decision_id(self) -> str:
        """The answer it belongs to; empty for what no call asked for."""
        raise NotImplementedError

    @property
    def gateway_id(self) -> str:
        """The gateway of the call; empty where none is concerned."""
        raise NotImplementedError

    @property
    def call_id(self) -> str:
        """The call; empty where none is concerned."""
        raise NotImplementedError

    @property
    def moves(self) -> tuple[PurseMove, ...]:
        """What moved, purse by purse."""
        raise NotImplementedError

    @property
    def uses(self) -> tuple[tuple[MovedPurse, Use], ...]:
        """All that the call was debited so far, purse by purse."""
        raise NotImplementedError

    @property
    def used_seconds(self) -> int:
        """Seconds since answer that were reported of the call so far."""
        raise NotImplementedError

    @property
    def granted_seconds(self) -> int:
        """Seconds since answer that the call may last; what it used, once it is over."""
        raise NotImplementedError

    @property
    def available_micros(self) -> int | None:
        """What the account can give after the entry; None without a balance, or if not told."""
        raise NotImplementedError

    @property
    def reserved_micros(self) -> int | None:
        """What the account holds for calls after the entry; None if the entry does not tell."""
        raise NotImplementedError
