"""Usage records: one line a purse a call, written when its use is complete.

A line is never changed: it may have been exported and invoiced. What is reported late is a further
line with an id of its own and the difference, so that the lines of a call and purse add up to what
was debited. No I/O.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from policy.rating import price_micros
from server.archive.book import Book, CallRow, UseRow
from server.archive.changes import ArchivedPurse, CallDescription

# The space of all ids of usage records; made once, never changed.
_NAMESPACE = uuid.UUID("5d0b8c1e-5f4d-4d0e-9a3c-5b7a2f1c9e64")
OPERATOR = "callgate"
# Who measured the seconds: the gateway, which is of the operator of this engine.
DURATION_SOURCE = "operator"


@dataclass(frozen=True, slots=True)
class Origin:
    """The entry that a record was written for: it makes the record's id, the same each time."""

    partition: int
    epoch: int
    n: int
    time_ms: int


def record_usage(book: Book, call: CallRow, origin: Origin) -> None:
    """Write what the purses of a call paid and no record says yet."""
    for use in book.uses_of(call):
        if (use.seconds, use.micros) != (use.recorded_seconds, use.recorded_micros):
            book.records.append(_record(call, use, origin))
            use.recorded_seconds, use.recorded_micros = use.seconds, use.micros


def _record(call: CallRow, use: UseRow, origin: Origin) -> dict[str, Any]:
    purse = call.facts.purses[use.purse_index]
    correction = use.recorded_seconds > 0
    described = call.facts.description
    return {
        "usage_id": _usage_id(use, origin),
        "tenant_id": call.tenant_id,
        "opened_id": call.opened_id,
        "gateway_id": call.gateway_id,
        "call_id": call.call_id,
        **{name: getattr(described, name) for name in CallDescription.__slots__},
        "start_ms": call.start_ms,
        "end_ms": call.report_ms,
        "duration_seconds": use.seconds - use.recorded_seconds,
        "connection_fee_micros": 0 if correction else _connection_fee(purse, use),
        "charge_micros": use.micros - use.recorded_micros,
        "capability": purse.capability,
        "operator": OPERATOR,
        "duration_source": DURATION_SOURCE,
        "administrative_units": "",
        "purse": purse.kind,
        "pool_id": purse.pool_id,
        "period": purse.period,
        "correction": correction,
        "book_ms": origin.time_ms,
    }


def _usage_id(use: UseRow, origin: Origin) -> str:
    name = (
        f"{origin.partition}/{origin.epoch}/{origin.n}/{use.opened_id}/{use.part}/{use.purse_index}"
    )
    return str(uuid.uuid5(_NAMESPACE, name))


def _connection_fee(purse: ArchivedPurse, use: UseRow) -> int:
    """Say what of a purse's micros its seconds do not explain: the fee, where it fell due."""
    return use.micros - price_micros(purse.rate, use.seconds) if purse.rate else 0
