"""What entries of a journal moved, for the wire."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from callgate.v1 import authorization_pb2
from callgate.v1 import debits_pb2 as pb
from server.calls.messages.cached_answer import varint
from server.calls.messages.parts import set_money, set_purse, set_time
from server.ledger.decision_context import ToldPurse, purses_part, with_capability
from server.ledger.journal import CALL_KINDS, CallMoves, Movement, Place, PurseMove, Standing
from server.services.cursor import cursor_of

_REMEMBERED_PURSES, _REMEMBERED_CALLS = 4_096, 16_384
_REMEMBERED_TIMES, _REMEMBERED_GATEWAYS = 1_024, 4_096
# The first bytes of an entry in a response, and of two texts in an entry: the number of the field,
# and that a length follows.
_ENTRY = bytes([pb.WatchDebitsResponse.ENTRIES_FIELD_NUMBER << 3 | 2])
_DECISION = bytes([pb.JournalEntry.DECISION_ID_FIELD_NUMBER << 3 | 2]) + b"%b%b"
_WHOLE_CALL = b"%b%b%b%b" + bytes([pb.JournalEntry.CALL_ID_FIELD_NUMBER << 3 | 2]) + b"%b%b%b"
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
    "carried": pb.JOURNAL_ENTRY_KIND_ACCOUNT,
    "frozen": pb.JOURNAL_ENTRY_KIND_ACCOUNT,
    "ruled_out": pb.JOURNAL_ENTRY_KIND_ACCOUNT,
    "lot_voided": pb.JOURNAL_ENTRY_KIND_LOT_EXPIRY,
    "taken_back": pb.JOURNAL_ENTRY_KIND_LOT_EXPIRY,
    "debited": pb.JOURNAL_ENTRY_KIND_DEBIT,
    "refunded": pb.JOURNAL_ENTRY_KIND_REFUND,
}


def _kind_part(kind: str, *, pays: bool) -> bytes:
    told = _KINDS[kind]
    if pays and told == pb.JOURNAL_ENTRY_KIND_RESERVATION:
        told = pb.JOURNAL_ENTRY_KIND_DEBIT
    return pb.JournalEntry(kind=told).SerializeToString()


# Of what pays nothing, and of what does.
_KIND_PARTS = {
    kind: (_kind_part(kind, pays=False), _kind_part(kind, pays=True)) for kind in CALL_KINDS
}


def watch_response(
    movements: Iterable[Movement], reached: Standing | Place, currency: str
) -> bytes:
    """Write one response: some entries, where they end, and how the account stands, if known."""
    rest = pb.WatchDebitsResponse()
    if isinstance(reached, Standing):
        _set_account(rest.account, reached)
        reached = reached.place
    rest.cursor = cursor_of(reached)
    written: list[bytes] = []
    for movement in movements:
        entry = _entry(movement, currency)
        written += (_ENTRY, varint(len(entry)), entry)
    # Messages that are written one after the other are one message.
    return b"".join((*written, rest.SerializeToString()))


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


def _entry(movement: Movement, currency: str) -> bytes:
    if movement.kind in CALL_KINDS:
        return _call_entry(movement, currency)
    entry = pb.JournalEntry(
        kind=_KINDS[movement.kind],
        lot_id=movement.lot_id,
        reference_id=movement.reference_id,
    )
    set_time(entry.entry_time, movement.entry.time_ms)
    for move in movement.moves:
        _set_move(entry.movements.add(), move, "", currency=currency)
    return entry.SerializeToString()


def _call_entry(movement: Movement, currency: str) -> bytes:
    """Write what is a call's own, and behind it what calls that are alike have in common.

    By hand, as there are many: it is what the generated code writes, to the last byte.
    """
    entry, call, moves = movement.entry, movement.call, movement.call_moves
    call_id = call.call_id.encode()
    return _WHOLE_CALL % (
        _KIND_PARTS[entry.kind][moves.pays],
        _time_part(entry.time_ms),
        _decision_part(movement.decision_id),
        _gateway_part(call.gateway_id),
        varint(len(call_id)),
        call_id,
        _moved_part(moves, currency),
    )


def _decision_part(decision_id: str) -> bytes:
    # The entry of a reservation that lapsed belongs to no decision.
    written = decision_id.encode()
    return _DECISION % (varint(len(written)), written) if written else b""


@lru_cache(_REMEMBERED_TIMES)
def _time_part(time_ms: int) -> bytes:
    entry = pb.JournalEntry()
    set_time(entry.entry_time, time_ms)
    return entry.SerializeToString()


@lru_cache(_REMEMBERED_GATEWAYS)
def _gateway_part(gateway_id: str) -> bytes:
    return pb.JournalEntry(gateway_id=gateway_id).SerializeToString()


@lru_cache(_REMEMBERED_CALLS)
def _moved_part(moved: CallMoves, currency: str) -> bytes:
    entry, told = pb.JournalEntry(), purses_part(moved.paying)
    for move in moved.moves:
        _set_move(entry.movements.add(), move, told, currency=currency)
    return entry.SerializeToString()


@lru_cache(_REMEMBERED_PURSES)
def _purse(told: ToldPurse) -> authorization_pb2.Purse:
    """Write a purse; many calls have the same."""
    purse = authorization_pb2.Purse()
    set_purse(purse, told)
    return purse


def _set_move(told: pb.Movement, move: PurseMove, part: str, *, currency: str) -> None:
    told.purse.CopyFrom(_purse(with_capability(part, move.purse_index, move.purse)))
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
