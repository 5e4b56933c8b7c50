"""What one entry of a journal moved, as those who watch understand it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from server.ledger.codec import read_paid, read_taken, read_uses
from server.ledger.decision_context import ToldPurse
from server.ledger.journal.call_moves import (
    CallLines,
    CallMoves,
    PurseMove,
    call_moves,
    call_of,
    purses_of,
    read_call,
)
from server.ledger.journal.entries import JournalEntry
from server.ledger.keys import tenant_of
from server.ledger.requests import Use

# Kinds of entries about a call: each but "expired" is the answer to a question about it.
CALL_KINDS = frozenset({"reserved", "extended", "settled", "released", "ended", "expired"})

_REMEMBERED_TENANTS = 4_096
_NO_BALANCE = "-"


class Movement:
    """One entry of a journal. What is not asked for is not worked out.

    Where an entry does not tell something, its text is empty and its figure None or 0.
    """

    __slots__ = ("_call", "_call_moves", "_fields", "entry")

    def __init__(self, entry: JournalEntry) -> None:
        self.entry = entry
        self._fields: Mapping[str, str] | None = None
        self._call: CallLines | None = None
        self._call_moves: CallMoves | None = None

    @property
    def kind(self) -> str:
        """What happened: one of `CALL_KINDS`, or "opened", "described", "topped_up" ..."""
        return self.entry.kind

    @property
    def tenant_id(self) -> str:
        """Whose account it is; empty for an entry about the partition itself."""
        body = self.entry.body
        end = body.find("\n")
        return _tenant(body if end < 0 else body[:end])

    @property
    def fields(self) -> Mapping[str, str]:
        """The lines of the entry by name, as the ledger wrote them."""
        if self._fields is None:
            self._fields = self.entry.fields
        return self._fields

    @property
    def decision_id(self) -> str:
        """The answer it belongs to; empty for what no question asked for."""
        entry = self.entry
        return entry.nonce if entry.kind in CALL_KINDS and entry.kind != "expired" else ""

    @property
    def gateway_id(self) -> str:
        """The gateway of the call."""
        return self.call.gateway_id

    @property
    def lot_id(self) -> str:
        """The lot that was topped up, voided or refunded into; empty where several may be."""
        return self.fields.get("lot", "")

    @property
    def reference_id(self) -> str:
        """The id that a direct debit or a refund was asked for with."""
        return self.fields.get("id", "")

    @property
    def call(self) -> CallLines:
        """What an entry about a call tells of it; empty texts in any other."""
        found = self._call
        if found is None:
            if self.entry.kind in CALL_KINDS:
                found = read_call(self.entry.body) or call_of(self.fields)
            else:
                available, reserved = map(self.fields.get, ("available", "reserved"))
                found = _NO_CALL._replace(available=available or "", reserved=reserved or "")
            self._call = found
        return found

    @property
    def call_id(self) -> str:
        """The call."""
        return self.call.call_id

    @property
    def context(self) -> str:
        """What was decided about the call, as it is kept with its answer."""
        return self.call.context

    @property
    def purses_text(self) -> str:
        """What may pay the call, as the ledger writes it."""
        return self.call.purses

    @property
    def used_seconds(self) -> int:
        """Seconds since answer that were reported of the call so far."""
        return int(self.fields.get("report", "0").partition(" ")[0])

    @property
    def granted_seconds(self) -> int:
        """Seconds since answer that the call may last; what it used, once it is over."""
        segments = self.fields.get("segments", "")
        if not segments:
            return self.used_seconds
        return int(segments.rpartition(",")[2].split(" ")[2])

    @property
    def uses(self) -> tuple[tuple[ToldPurse, Use], ...]:
        """All that the call was debited so far, purse by purse."""
        purses = purses_of(self.call.purses)
        return tuple((purses[use.purse_index], use) for use in read_uses(self.fields["uses"]))

    @property
    def paid(self) -> list[tuple[str, int]]:
        """Which lots lost how many micros to a call or a direct debit."""
        return read_paid(self.fields["lots"])

    @property
    def taken(self) -> list[tuple[str, int, bool]]:
        """Which lots that were over lost how many micros, and whether they were voided."""
        return read_taken(self.fields["lots"])

    @property
    def moves(self) -> tuple[PurseMove, ...]:
        """What moved, purse by purse; a purse of which nothing moved is left out."""
        if self.entry.kind in CALL_KINDS:
            return self.call_moves.moves
        read = _MONEY_KINDS.get(self.entry.kind)
        return read(self.fields) if read else ()

    @property
    def call_moves(self) -> CallMoves:
        """What an entry about a call moved, the same object for calls that are alike."""
        found = self._call_moves
        if found is None:
            found = self._call_moves = call_moves(self.call)
        return found

    @property
    def available_micros(self) -> int | None:
        """What the account can give after the entry; None also where there is no balance."""
        text = self.call.available
        return int(text) if text not in {"", _NO_BALANCE} else None

    @property
    def reserved_micros(self) -> int | None:
        """What the account holds for calls after the entry; None if the entry does not tell."""
        text = self.call.reserved
        return int(text) if text else None

    @property
    def debited_micros(self) -> int:
        """By how much the entry raised all that was ever debited; a refund takes nothing off it."""
        if self.entry.kind in CALL_KINDS:
            return self.call_moves.debited_micros
        return sum(max(0, move.debited_micros) for move in self.moves)


_CREDITS = ToldPurse("credits", "")
_NO_CALL = CallLines("", "", "", "", "", "", "")


@lru_cache(_REMEMBERED_TENANTS)
def _tenant(first_line: str) -> str:
    return tenant_of(first_line.removeprefix("tenant="))


def _top_up(fields: Mapping[str, str]) -> tuple[PurseMove, ...]:
    return (PurseMove(_CREDITS, added_micros=int(fields["micros"]), lot_id=fields["lot"]),)


def _direct_debit(fields: Mapping[str, str]) -> tuple[PurseMove, ...]:
    return (PurseMove(_CREDITS, debited_micros=int(fields["micros"])),)


def _refund(fields: Mapping[str, str]) -> tuple[PurseMove, ...]:
    return (PurseMove(_CREDITS, debited_micros=-int(fields["micros"]), lot_id=fields["lot"]),)


def _lots_expired(fields: Mapping[str, str]) -> tuple[PurseMove, ...]:
    return tuple(
        PurseMove(_CREDITS, added_micros=-micros, lot_id=lot_id)
        for lot_id, micros, _ in read_taken(fields["lots"])
    )


_MONEY_KINDS: Mapping[str, Callable[[Mapping[str, str]], tuple[PurseMove, ...]]] = {
    "topped_up": _top_up,
    "lots_expired": _lots_expired,
    "debited": _direct_debit,
    "refunded": _refund,
}
