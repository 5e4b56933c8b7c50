"""What entries of a journal moved, for the wire."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from callgate.v1 import authorization_pb2
from callgate.v1 import debits_pb2 as pb
from server.journal import CALL_KINDS, Movement, Place, PurseMove, Standing
from server.translation.context import ToldPurse, with_capability
from server.translation.cursor import cursor_of
from server.translation.parts import set_money, set_purse, set_time

_REMEMBERED_PURSES = 4_096
_KINDS = {
    "reserved": pb.JOURNAL_ENTRY_KIND_RESERVATION,
    "extended": pb.JOURNAL_ENTRY_KIND_RESERVATION,
    "settled": pb.JOURNAL_ENTRY_KIND_SETTLEMENT,
    "ended": pb.JOURNAL_ENTRY_KIND_SETTLEMENT,
    "released": pb.JOURNAL_ENTRY_KIND_RELEASE,
    "expired": pb.JOURNAL_ENTRY_KIND_EXPIRY,
    "topped_up": pb.JOURNAL_ENTRY_KIND_TOP_UP,
    "lots_expired": pb.JOURNAL_ENTRY_KIND_LOT_EXPIRY,
    "opened": pb.JOURNAL_ENTRY_KIND_ACCOUNT,
    "described": pb.JOURNAL_ENTRY_KIND_ACCOUNT,
    "limit_set": pb.JOURNAL_ENTRY_KIND_ACCOUNT,
    "frozen": pb.JOURNAL_ENTRY_KIND_ACCOUNT,
    "lot_voided": pb.JOURNAL_ENTRY_KIND_LOT_EXPIRY,
    "debited": pb.JOURNAL_ENTRY_KIND_DEBIT,
    "refunded": pb.JOURNAL_ENTRY_KIND_REFUND,
}


def watch_response(
    movements: Iterable[Movement], reached: Standing | Place, currency: str
) -> pb.WatchDebitsResponse:
    """Build one response: some entries, where they end, and how the account stands, if known."""
    response = pb.WatchDebitsResponse()
    for movement in movements:
        _set_entry(response.entries.add(), movement, currency)
    if isinstance(reached, Standing):
        _set_account(response.account, reached)
        reached = reached.place
    response.cursor = cursor_of(reached)
    return response


def snapshot_metadata(standing: Standing) -> dict[str, str]:
    """Write how an account stands, for who has to begin anew."""
    metadata = {
        "cursor": cursor_of(standing.place),
        "currency_code": standing.currency,
        "reserved_micros": str(standing.reserved_micros),
        "debited_micros": str(standing.debited_micros),
    }
    if standing.available_micros is not None:
        metadata["available_micros"] = str(standing.available_micros)
    return metadata


def _set_account(account: pb.AccountState, standing: Standing) -> None:
    if standing.available_micros is not None:
        set_money(account.available, standing.available_micros, standing.currency)
    set_money(account.reserved, standing.reserved_micros, standing.currency)
    set_money(account.debited, standing.debited_micros, standing.currency)


def _set_entry(entry: pb.JournalEntry, movement: Movement, currency: str) -> None:
    moves = movement.moves
    entry.kind = _kind(movement.kind, moves)
    set_time(entry.entry_time, movement.entry.time_ms)
    if movement.kind in CALL_KINDS:
        entry.decision_id = movement.decision_id
        entry.gateway_id = movement.gateway_id
        entry.call_id = movement.call_id
    else:
        entry.lot_id = movement.lot_id
        entry.reference_id = movement.reference_id
    for move in moves:
        _set_move(entry.movements.add(), move, movement, currency=currency)


@lru_cache(_REMEMBERED_PURSES)
def _purse(told: ToldPurse) -> authorization_pb2.Purse:
    """Write a purse; many calls have the same."""
    purse = authorization_pb2.Purse()
    set_purse(purse, told)
    return purse


def _kind(kind: str, moves: tuple[PurseMove, ...]) -> pb.JournalEntryKind.ValueType:
    found = _KINDS[kind]
    pays = any(move.debited_seconds or move.debited_micros for move in moves)
    if found == pb.JOURNAL_ENTRY_KIND_RESERVATION and pays:
        return pb.JOURNAL_ENTRY_KIND_DEBIT
    return found


def _set_move(told: pb.Movement, move: PurseMove, movement: Movement, *, currency: str) -> None:
    purse = move.purse
    named = ToldPurse(purse.kind, "", purse.pool_id, purse.counter, purse.period)
    told.purse.CopyFrom(_purse(with_capability(movement.context, move.purse_index, named)))
    if move.held_seconds:
        told.held_duration.seconds = move.held_seconds
    if move.debited_seconds:
        told.debited_duration.seconds = move.debited_seconds
    if move.held_micros:
        set_money(told.held, move.held_micros, currency)
    if move.debited_micros:
        set_money(told.debited, move.debited_micros, currency)
    if move.added_micros:
        set_money(told.added, move.added_micros, currency)
    told.lot_id = move.lot_id
