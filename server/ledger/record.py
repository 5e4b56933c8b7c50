"""The record of a call in Redis: one text, a line each of what `call.lua` names."""

from __future__ import annotations

from typing import NamedTuple

from server.ledger.trouble import LedgerDamaged

_LINES = 11


class CallRecord(NamedTuple):
    """One call and the last answer about it, as the functions write it."""

    state: bytes
    gateway_id: bytes
    # Sequence and fingerprint of the last question.
    asked: bytes
    decision_id: bytes
    # The decision that began the call; empty where it is that of the last answer.
    opened_id: bytes
    answer: bytes
    # Segments, uses and report, joined by `|`.
    held: bytes
    # The field that counts the running calls of its account; empty where none does.
    counted: bytes
    # `1` where the account had no balance when the call began.
    unfunded: bytes
    # Call id, purses and the context of the answer.
    facts: bytes
    # The rest, whatever bytes it has.
    explanation: bytes


def read_record(text: bytes) -> CallRecord:
    """Read a record. Raises `LedgerDamaged`."""
    lines = text.split(b"\n", _LINES - 1)
    if len(lines) != _LINES:
        raise LedgerDamaged("the record of a call")
    return CallRecord(*lines)
