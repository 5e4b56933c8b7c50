"""What is asked of usage: filters, days, groups, pages, read and checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import TypeVar

from callgate.v1 import authorization_pb2 as calls_pb
from callgate.v1 import usage_pb2 as pb
from policy.facts import Tenant
from policy.rating import MAX_WHOLE_NUMBER
from server.calls.messages import fields as limits
from server.calls.messages.fields import InvalidRequest, no_such_page
from server.usage.export import HIDDEN_DIGITS
from server.usage.periods import Period, next_of, start_of
from server.usage.records import GROUPS, Filter, Place

_MOST_VALUES = 1_000
_MOST_GROUP_BY = 2
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")
_WORD = re.compile(r"[A-Za-z0-9_]{1,64}")
_PREFIX = re.compile(r"\+[0-9]{1,15}")
_PLACE = re.compile(r"([0-9]{1,16})\.([0-9A-Za-z-]{1,36})(?:\.([0-9]{1,16}))?")
DIRECTIONS: Mapping[int, str] = {0: "", 1: "inbound", 2: "outbound"}
CORRECTIONS: Mapping[int, bool | None] = {0: None, 1: True, 2: False}
PURSES: Mapping[int, str] = {
    calls_pb.PURSE_KIND_FREE: "free",
    calls_pb.PURSE_KIND_POOL: "pool",
    calls_pb.PURSE_KIND_CREDITS: "credits",
}
FORMS: Mapping[int, str] = {
    pb.USAGE_FORMAT_UNSPECIFIED: "2025",
    pb.USAGE_FORMAT_CSV_2021: "2021",
    pb.USAGE_FORMAT_CSV_ALL: "all",
    pb.USAGE_FORMAT_JSON_LINES: "jsonl",
}
_PERIODS = frozenset(Period)
_GROUPS: Mapping[int, str] = {
    pb.UsageGroup.Value(f"USAGE_GROUP_{name.upper()}"): name for name in (*GROUPS, *_PERIODS)
}
_Value = TypeVar("_Value")


def read_filter(asked: pb.UsageFilter, tenant: Tenant, now_ms: int) -> Filter:
    """Read which records of a tenant are meant. Raises `InvalidRequest`."""
    from_ms, to_ms = read_days(
        asked.start_date, asked.end_date, zone=tenant.time_zone, prefix="filter."
    )
    least = asked.least_charge_micros
    if not 0 <= least <= MAX_WHOLE_NUMBER:
        raise InvalidRequest("filter.least_charge_micros", "a whole number from 0 to 2^53 - 1")
    if asked.number_prefix and not _PREFIX.fullmatch(asked.number_prefix):
        raise InvalidRequest("filter.number_prefix", "'+' and 1 to 15 digits, as +4420")
    return Filter(
        tenant.tenant_id,
        from_ms,
        now_ms if to_ms is None else to_ms,
        account_ids=_values(asked.account_ids, "account_ids", limits.account_id),
        call_types=_values(asked.call_types, "call_types", _word),
        direction=known(DIRECTIONS, asked.direction, "filter.direction"),
        countries=_values(asked.countries, "countries", _country),
        number_prefix=asked.number_prefix,
        hidden_digits=HIDDEN_DIGITS.get(tenant.country, 0),
        purses=[known(PURSES, purse, "filter.purses") for purse in asked.purses],
        capabilities=_values(asked.capabilities, "capabilities", _word),
        gateway_ids=_values(asked.gateway_ids, "gateway_ids", limits.an_id),
        least_charge_micros=least,
        corrections=known(CORRECTIONS, asked.corrections, "filter.corrections"),
        call_id=limits.call_id(asked.call_id) if asked.call_id else "",
    )


def read_form(asked: pb.UsageFormat.ValueType, field: str = "format") -> str:
    """Read how a file is written. Raises `InvalidRequest`."""
    return known(FORMS, asked, field)


def read_days(start: str, end: str, *, zone: str, prefix: str = "") -> tuple[int, int | None]:
    """Read from which time on, and before which; None where that is not said."""
    first = _day(f"{prefix}start_date", start)
    last = _day(f"{prefix}end_date", end)
    if first and last and last < first:
        raise InvalidRequest(f"{prefix}end_date", "no day before start_date")
    from_ms = start_of(first, zone) if first else 0
    return from_ms, start_of(next_of(Period.DAY, last), zone) if last else None


def read_month(text: str, today: date) -> date:
    """Read a month, and give its first day. Raises `InvalidRequest`."""
    if not text:
        return today.replace(day=1)
    try:
        if not _MONTH.fullmatch(text):
            raise ValueError(text)
        first = date.fromisoformat(f"{text}-01")
    except ValueError:
        raise InvalidRequest("month", "a month as 2026-11, or empty for this one") from None
    if not 1970 <= first.year <= today.year or first > today:
        raise InvalidRequest("month", "this month or an earlier one")
    return first


def read_groups(asked: Sequence[pb.UsageGroup.ValueType]) -> list[str]:
    """Read what sums are told by. Raises `InvalidRequest`."""
    groups = [known(_GROUPS, group, "group_by") for group in asked]
    if len(groups) > _MOST_GROUP_BY or len(set(groups)) < len(groups):
        raise InvalidRequest("group_by", "two different groups at the most")
    if len(_PERIODS.intersection(groups)) > 1:
        raise InvalidRequest("group_by", "one of day, week and month")
    return groups


def read_place(after: str) -> tuple[Place | None, int | None]:
    """Read after which record to go on, and where a file ends. Raises `InvalidRequest`."""
    if not after:
        return None, None
    found = _PLACE.fullmatch(after)
    if found is None:
        raise no_such_page()
    return Place(int(found[1]), found[2]), int(found[3]) if found[3] else None


def _day(field: str, text: str) -> date | None:
    if not text:
        return None
    try:
        if not _DATE.fullmatch(text):
            raise ValueError(text)
        day = date.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(field, "a day as 2026-11-01, or empty") from None
    if not 1970 <= day.year <= 2200:
        raise InvalidRequest(field, "a day from 1970 to 2200")
    return day


def _values(values: Sequence[str], name: str, check: Callable[[str, str], str]) -> list[str]:
    field = f"filter.{name}"
    if len(values) > _MOST_VALUES:
        raise InvalidRequest(field, f"at most {_MOST_VALUES} of them")
    return [check(field, value) for value in values]


def _word(field: str, value: str) -> str:
    if not _WORD.fullmatch(value):
        raise InvalidRequest(field, "letters, digits and '_'")
    return value


def _country(field: str, value: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2}", value):
        raise InvalidRequest(field, "countries of two letters (ISO 3166-1 alpha-2)")
    return value.upper()


def known(values: Mapping[int, _Value], value: int, field: str) -> _Value:
    """Read a value of an enum. Raises `InvalidRequest`."""
    if value not in values:
        raise InvalidRequest(field, "one that the contract names")
    return values[value]
