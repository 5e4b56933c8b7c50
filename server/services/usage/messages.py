"""Usage records, sums, attempts and pools for the wire."""

from __future__ import annotations

from typing import Any

from callgate.v1 import usage_pb2 as pb
from server.calls.messages.parts import set_money, set_purse, set_time
from server.ledger.decision_context import ToldPurse
from server.usage.export import Row
from server.usage.pools import Fill
from server.usage.records import Place, Sum

_SAME = (
    *("usage_id", "call_id", "gateway_id", "account_id", "user_location", "call_type"),
    *("caller_id", "destination_number", "correction"),
)


def place_of(record: Row) -> Place:
    """Say where a record stands."""
    return Place(record["book_ms"], record["usage_id"])


def set_record(told: pb.UsageRecord, record: Row) -> None:
    """Tell a record, whose far end is masked already."""
    for name in _SAME:
        setattr(told, name, record[name])
    told.decision_id = record["opened_id"]
    told.direction = (
        pb.USAGE_DIRECTION_INBOUND
        if record["call_direction"] == "inbound"
        else pb.USAGE_DIRECTION_OUTBOUND
    )
    told.destination = record["destination_dialed"]
    told.country = record["external_country"]
    set_time(told.start_time, record["start_ms"])
    set_time(told.end_time, record["end_ms"])
    set_time(told.book_time, record["book_ms"])
    told.duration.FromSeconds(record["duration_seconds"])
    set_money(told.connection_fee, record["connection_fee_micros"], record["currency"])
    set_money(told.charge, record["charge_micros"], record["currency"])
    purse = ToldPurse(
        record["purse"], record["capability"], record["pool_id"], period=record["period"]
    )
    set_purse(told.purse, purse)


def set_sum(told: pb.UsageTotal, found: Sum) -> None:
    """Tell a sum."""
    told.keys.extend(found.keys)
    told.records, told.calls = found.records, found.calls
    told.duration.FromSeconds(found.seconds)
    set_money(told.connection_fee, found.fee_micros, found.currency)
    set_money(told.charge, found.charge_micros, found.currency)


def set_pool(told: pb.PoolFill, fill: Fill) -> None:
    """Tell how full a pool is."""
    told.pool_id, told.counter, told.empty_date = fill.pool_id, fill.counter, fill.empty_date
    told.size.FromSeconds(fill.size_seconds)
    told.used.FromSeconds(fill.used_seconds)
    for seconds in fill.daily_seconds:
        told.daily_used.add().FromSeconds(seconds)
    for account_id, seconds in fill.users:
        told.users.add(account_id=account_id).used.FromSeconds(seconds)


def set_complete(response: Any, complete_ms: int | None) -> None:
    """Tell until when an answer is complete, where that is known."""
    if complete_ms is not None:
        set_time(response.complete_time, complete_ms)
