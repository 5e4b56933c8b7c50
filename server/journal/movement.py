"""What one entry of a journal moved, as those who watch understand it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from server.ledger.journal import JournalEntry
from server.ledger.keys import tenant_of
from server.ledger.questions import Use
from server.ledger.wire import GROUP, PURSE, UNIT

# Kinds of entries about a call: each but "expired" is the answer to a question about it.
CALL_KINDS = frozenset({"reserved", "extended", "settled", "released", "ended", "expired"})

_REMEMBERED_PURSES = 4_096
_REMEMBERED_CALLS = 16_384
_REMEMBERED_TENANTS = 4_096
_NO_BALANCE = "-"


@dataclass(frozen=True, slots=True)
class MovedPurse:
    """A purse by name. `kind` is "free", "pool" or "credits"; only a pool has the others."""

    kind: str
    pool_id: str = ""
    counter: str = ""
    period: str = ""


CREDITS = MovedPurse("credits")
_FREE = MovedPurse("free")


class PurseMove(NamedTuple):
    """By how much one purse changed: what is held of it (negative: given back) and was debited.

    `purse_index` is its place among the purses of the call. `added_micros` came in with the lot
    `lot_id`, or (negative) left with it unused.
    """

    purse: MovedPurse
    purse_index: int = 0
    held_seconds: int = 0
    held_micros: int = 0
    debited_seconds: int = 0
    debited_micros: int = 0
    added_micros: int = 0
    lot_id: str = ""


class CallTexts(NamedTuple):
    """What an entry says that a call holds and paid, before and after, as the ledger wrote it.

    Calls that are alike have the same texts, so what follows from them is worked out once.
    """

    purses: str
    held_before: str
    paid_before: str
    held: str
    paid: str
    # Those that paid before, where other purses pay from here on.
    other_purses: str


class Movement:
    """One entry of a journal. What is not asked for is not worked out; what is, once for all.

    Where an entry does not tell something, its text is empty and its figure None or 0.
    """

    def __init__(self, entry: JournalEntry) -> None:
        self.entry = entry

    @property
    def kind(self) -> str:
        """What happened: one of `CALL_KINDS`, or "opened", "described", "topped_up" ..."""
        return self.entry.kind

    @cached_property
    def tenant_id(self) -> str:
        """Whose account it is; empty for an entry about the partition itself."""
        first_line, _, _ = self.entry.body.partition("\n")
        return _tenant(first_line)

    @cached_property
    def fields(self) -> Mapping[str, str]:
        """The lines of the entry by name, as the ledger wrote them."""
        return self.entry.fields

    @property
    def decision_id(self) -> str:
        """The answer it belongs to; empty for what no question asked for."""
        asked_for = self.entry.kind in CALL_KINDS and self.entry.kind != "expired"
        return self.entry.nonce if asked_for else ""

    @property
    def gateway_id(self) -> str:
        """The gateway of the call."""
        return self.fields.get("gateway", "")

    @property
    def lot_id(self) -> str:
        """The lot that was topped up, voided or refunded into; empty where several may be."""
        return self.fields.get("lot", "")

    @property
    def reference_id(self) -> str:
        """The id that a direct debit or a refund was asked for with."""
        return self.fields.get("id", "")

    @cached_property
    def call_id(self) -> str:
        """The call."""
        return self._facts[0]

    @property
    def context(self) -> tuple[str, ...]:
        """What was decided about the call, in the strings that are kept with its answer."""
        text = self._facts[2]
        return tuple(text.split(UNIT)) if text else ()

    @property
    def purses_text(self) -> str:
        """What may pay the call, as the ledger writes it."""
        return self._facts[1]

    @cached_property
    def used_seconds(self) -> int:
        """Seconds since answer that were reported of the call so far."""
        return int(self.fields.get("report", "0").partition(" ")[0])

    @cached_property
    def granted_seconds(self) -> int:
        """Seconds since answer that the call may last; what it used, once it is over."""
        segments = self.fields.get("segments", "")
        if not segments:
            return self.used_seconds
        return int(segments.rpartition(",")[2].split(" ")[2])

    @cached_property
    def uses(self) -> tuple[tuple[MovedPurse, Use], ...]:
        """All that the call was debited so far, purse by purse."""
        purses = _purses(self._facts[1])
        uses = (
            Use(index, *paid) for index, paid in sorted(_uses(self.fields.get("uses", "")).items())
        )
        return tuple((purses[use.purse_index], use) for use in uses)

    @cached_property
    def moves(self) -> tuple[PurseMove, ...]:
        """What moved, purse by purse; a purse of which nothing moved is left out."""
        if self.entry.kind in CALL_KINDS:
            return call_moves(self.call_texts)
        read = _MONEY_KINDS.get(self.entry.kind)
        return read(self.fields) if read else ()

    @property
    def call_texts(self) -> CallTexts:
        """What an entry about a call says that it holds and paid."""
        fields = self.fields
        return CallTexts(
            self._facts[1],
            fields["held_before"],
            fields["before"],
            fields["segments"],
            fields["uses"],
            fields.get("other_purses", ""),
        )

    @property
    def available_micros(self) -> int | None:
        """What the account can give after the entry; None also where there is no balance."""
        text = self.fields.get("available", "")
        return int(text) if text not in {"", _NO_BALANCE} else None

    @property
    def reserved_micros(self) -> int | None:
        """What the account holds for calls after the entry; None if the entry does not tell."""
        text = self.fields.get("reserved", "")
        return int(text) if text else None

    @property
    def debited_micros(self) -> int:
        """By how much the entry raised all that was ever debited; a refund takes nothing off it."""
        return sum(max(0, move.debited_micros) for move in self.moves)

    @cached_property
    def _facts(self) -> tuple[str, str, str]:
        """Call id, purses, context."""
        text = self.fields.get("facts", "")
        if not text:
            return "", "", ""
        call_id, purses, context = text.split(GROUP, 2)
        return call_id, purses, context


_Figures = dict[int, tuple[int, int]]
_NOTHING = (0, 0)


class _Sums(NamedTuple):
    """Seconds and micros by purse: what is held, and what was paid."""

    held: _Figures
    paid: _Figures


@lru_cache(_REMEMBERED_TENANTS)
def _tenant(first_line: str) -> str:
    return tenant_of(first_line.removeprefix("tenant="))


@lru_cache(_REMEMBERED_CALLS)
def call_moves(texts: CallTexts) -> tuple[PurseMove, ...]:
    """Compare what was held and paid before with what is now."""
    moves: list[PurseMove] = []
    before = _Sums(_held(texts.held_before), _uses(texts.paid_before))
    if texts.other_purses:
        # Other purses pay from here on; those before give back what they held.
        moves += _moves(_purses(texts.other_purses), before, _Sums({}, before.paid))
        before = _Sums({}, before.paid)
    moves += _moves(_purses(texts.purses), before, _Sums(_held(texts.held), _uses(texts.paid)))
    return tuple(moves)


def _moves(purses: tuple[MovedPurse, ...], before: _Sums, after: _Sums) -> Iterator[PurseMove]:
    for index, purse in enumerate(purses):
        held_seconds, held_micros = _change(index, before.held, after.held)
        debited_seconds, debited_micros = _change(index, before.paid, after.paid)
        if held_seconds or held_micros or debited_seconds or debited_micros:
            yield PurseMove(
                purse, index, held_seconds, held_micros, debited_seconds, debited_micros
            )


def _change(index: int, before: _Figures, after: _Figures) -> tuple[int, int]:
    seconds_before, micros_before = before.get(index, _NOTHING)
    seconds, micros = after.get(index, _NOTHING)
    return seconds - seconds_before, micros - micros_before


def _held(segments: str) -> _Figures:
    """Sum up segments by purse: seconds and micros."""
    sums: _Figures = {}
    if segments:
        for segment in segments.split(","):
            index, start, end, held = map(int, segment.split(" "))
            seconds, micros = sums.get(index, _NOTHING)
            sums[index] = (seconds + end - start, micros + held)
    return sums


def _uses(text: str) -> _Figures:
    """Read what purses paid: seconds and micros."""
    sums: _Figures = {}
    if text:
        for use in text.split(","):
            index, seconds, micros = map(int, use.split(" "))
            sums[index] = (seconds, micros)
    return sums


def _top_up(fields: Mapping[str, str]) -> tuple[PurseMove, ...]:
    return (PurseMove(CREDITS, added_micros=int(fields["micros"]), lot_id=fields["lot"]),)


def _direct_debit(fields: Mapping[str, str]) -> tuple[PurseMove, ...]:
    return (PurseMove(CREDITS, debited_micros=int(fields["micros"])),)


def _refund(fields: Mapping[str, str]) -> tuple[PurseMove, ...]:
    return (PurseMove(CREDITS, debited_micros=-int(fields["micros"]), lot_id=fields["lot"]),)


def _lots_expired(fields: Mapping[str, str]) -> tuple[PurseMove, ...]:
    lots = (lot.split(UNIT) for lot in fields["lots"].split(PURSE) if lot)
    return tuple(
        PurseMove(CREDITS, added_micros=-int(micros), lot_id=lot_id) for lot_id, micros, _ in lots
    )


_MONEY_KINDS: Mapping[str, Callable[[Mapping[str, str]], tuple[PurseMove, ...]]] = {
    "topped_up": _top_up,
    "lots_expired": _lots_expired,
    "debited": _direct_debit,
    "refunded": _refund,
}


@lru_cache(_REMEMBERED_PURSES)
def _purses(text: str) -> tuple[MovedPurse, ...]:
    """Read the purses of a call; many calls have the same."""
    return tuple(_purse(purse.split(UNIT)) for purse in text.split(PURSE)) if text else ()


def _purse(parts: list[str]) -> MovedPurse:
    match parts[0]:
        case "P":
            _, period, counter, _, pool_id = parts[2].split("/", 4)
            return MovedPurse("pool", pool_id, counter, period)
        case "C":
            return CREDITS
        case _:
            return _FREE
