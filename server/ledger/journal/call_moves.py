"""What calls moved: worked out once for all whose entries tell the same sums."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from server.ledger.codec import GROUP, read_purses, read_segments, read_uses
from server.ledger.decision_context import ToldPurse, told_purse
from server.ledger.requests import paying_part

_REMEMBERED_PURSES = 4_096
_REMEMBERED_CALLS = 16_384

# The lines of an entry about a call, as they are nearly always written. Those that only others need
# are passed over; those of the sums lie side by side and are taken as they are.
_USUAL_CALL = re.compile(
    r"tenant=.*\ncall=.*\ngateway=(.*)\nopened=.*\nasked=.*\n"
    r"(segments=.*\nuses=.*\nbefore=.*\nheld_before=.*)\n"
    r"report=.*\nunfunded=.*\nlots=.*\navailable=(.*)\nreserved=(.*)\nfacts=(.*)"
)
_SUMS = ("segments", "uses", "before", "held_before", "other_purses")


class PurseMove(NamedTuple):
    """By how much one purse changed: what is held of it (negative: given back) and was debited.

    `purse_index` is its place among the purses of the call. `added_micros` came in with the lot
    `lot_id`, or (negative) left with it unused.
    """

    purse: ToldPurse
    purse_index: int = 0
    held_seconds: int = 0
    held_micros: int = 0
    debited_seconds: int = 0
    debited_micros: int = 0
    added_micros: int = 0
    lot_id: str = ""


class CallLines(NamedTuple):
    """What those who watch read of an entry about a call, as the ledger wrote it.

    `sums` are the lines of what the call holds and paid, before and after.
    """

    gateway_id: str
    sums: str
    available: str
    reserved: str
    call_id: str
    purses: str
    context: str


@dataclass(frozen=True, slots=True, eq=False)
class CallMoves:
    """What an entry about a call moved; one object for all calls whose entries say the same.

    `paying` is the `paying_part` of their contexts.
    """

    moves: tuple[PurseMove, ...]
    paying: str
    debited_micros: int
    pays: bool


def read_call(body: str) -> CallLines | None:
    """Read an entry about a call in one go; None if it is not written as most are."""
    found = _USUAL_CALL.fullmatch(body)
    if found is None:
        return None
    gateway_id, sums, available, reserved, facts = found.groups()
    return CallLines(gateway_id, sums, available, reserved, *facts.split(GROUP, 2))


def call_of(fields: Mapping[str, str]) -> CallLines:
    """Read an entry about a call by its lines."""
    return CallLines(
        fields["gateway"],
        "\n".join([f"{name}={fields[name]}" for name in _SUMS if name in fields]),
        fields.get("available", ""),
        fields.get("reserved", ""),
        *fields["facts"].split(GROUP, 2),
    )


def call_moves(call: CallLines) -> CallMoves:
    """Compare what a call held and paid before with what it does now."""
    return _worked_out(call.sums, call.purses, paying_part(call.context))


@lru_cache(_REMEMBERED_PURSES)
def purses_of(text: str) -> tuple[ToldPurse, ...]:
    """Read the purses of a call; many calls have the same."""
    return tuple(map(told_purse, read_purses(text).purses))


_Figures = dict[int, tuple[int, int]]
_NOTHING = (0, 0)


class _Sums(NamedTuple):
    """Seconds and micros by purse: what is held, and what was paid."""

    held: _Figures
    paid: _Figures


@lru_cache(_REMEMBERED_CALLS)
def _worked_out(sums: str, purses: str, paying: str) -> CallMoves:
    lines = dict([line.split("=", 1) for line in sums.split("\n")])
    moves: list[PurseMove] = []
    before = _Sums(_held(lines["held_before"]), _paid(lines["before"]))
    if lines.get("other_purses"):
        # Other purses pay from here on; those before give back what they held.
        moves += _moves(purses_of(lines["other_purses"]), before, _Sums({}, before.paid))
        before = _Sums({}, before.paid)
    after = _Sums(_held(lines["segments"]), _paid(lines["uses"]))
    moves += _moves(purses_of(purses), before, after)
    return CallMoves(
        tuple(moves),
        paying,
        sum(max(0, move.debited_micros) for move in moves),
        any(move.debited_seconds or move.debited_micros for move in moves),
    )


def _moves(purses: tuple[ToldPurse, ...], before: _Sums, after: _Sums) -> Iterator[PurseMove]:
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
    for index, start, end, held in read_segments(segments):
        seconds, micros = sums.get(index, _NOTHING)
        sums[index] = (seconds + end - start, micros + held)
    return sums


def _paid(uses: str) -> _Figures:
    return {use.purse_index: (use.seconds, use.micros) for use in read_uses(uses)}
