"""What each field of a question may hold; a field beyond its limit is named, with what is right."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Protocol

from google.protobuf.duration_pb2 import Duration

from policy.rating import MAX_WHOLE_NUMBER
from policy.spelling import drop_parameters


class InvalidRequest(Exception):
    """A field of the question cannot be used. Names the field and what would be right."""

    def __init__(self, field: str, fix: str) -> None:
        super().__init__(f"{field}: {fix}")
        self.field = field
        self.fix = fix


class _OfGateway(Protocol):
    gateway_id: str


_TENANT_ID = re.compile(r"[a-z0-9._-]{1,64}")
_ID = re.compile(r"[!-~]{1,64}")
_ACCOUNT_ID = re.compile(r"[!-~]{1,128}")
# What RFC 3261 allows in a Call-ID, and more: "x@[2001:db8::1]" is everyday.
_CALL_ID = re.compile(r"[!-~]{1,255}")
LONGEST_NUMBER = 64
# Of those that were right.
_IDS_KEPT = 4_096
_NUMBER = re.compile(rf"[^\x00-\x1f\x7f-\x9f]{{0,{LONGEST_NUMBER}}}")
_COUNTRY = re.compile(r"[A-Za-z]{2}")

MAX_REQUESTED_SECONDS = 86_400
MAX_RESOURCE_ACCOUNTS = 10
# A call that lasts longer is a mistake of whoever counts.
MAX_USED_SECONDS = 2_592_000


@lru_cache(maxsize=_IDS_KEPT)
def tenant_id(value: str, field: str = "tenant_id") -> str:
    """Check the id of a tenant."""
    if not _TENANT_ID.fullmatch(value):
        raise InvalidRequest(field, "1 to 64 characters of a-z, 0-9, '.', '_' and '-'")
    return value


def an_id(field: str, value: str) -> str:
    """Check the id of a gateway, a charge or the like."""
    if not _ID.fullmatch(value):
        raise InvalidRequest(field, "1 to 64 characters of printable ASCII without space")
    return value


@lru_cache(maxsize=_IDS_KEPT)
def gateway_id(value: str) -> str:
    """Check the id of a gateway: a handful ask again and again."""
    return an_id("gateway_id", value)


def account_id(field: str, value: str) -> str:
    """Check the id of a user or a resource account."""
    if not _ACCOUNT_ID.fullmatch(value):
        raise InvalidRequest(field, "1 to 128 characters of printable ASCII without space")
    return value


def decision_id(field: str, value: str) -> str:
    """Check the id of a decision, or that none is named."""
    return an_id(field, value) if value else ""


def stream_gateway(request: _OfGateway, gateway_id: str) -> None:
    """Fill in whose stream a question came on; it may name no other gateway."""
    if request.gateway_id not in {"", gateway_id}:
        raise InvalidRequest("gateway_id", "empty, or that of the stream's hello")
    request.gateway_id = gateway_id


def call_id(value: str) -> str:
    """Check the gateway's id of a call."""
    if not _CALL_ID.fullmatch(value):
        raise InvalidRequest("call_id", "1 to 255 characters of printable ASCII without space")
    return value


def sequence(value: int) -> int:
    """Check the place of a question among those about its call."""
    if not 1 <= value <= MAX_WHOLE_NUMBER:
        raise InvalidRequest("sequence", f"a whole number from 1 to {MAX_WHOLE_NUMBER}")
    return value


def a_number(field: str, value: str) -> str:
    """Check digits as dialled or presented, and drop parameters that never change a number.

    Whether they are a number is a rule's to say.
    """
    if ";" in value:
        value = drop_parameters(value)
    if not _NUMBER.fullmatch(value):
        raise InvalidRequest(field, "at most 64 characters, none of them a control character")
    return value


def location(value: str) -> str:
    """Check a country, upper or lower case; empty where it is not known."""
    if value and not _COUNTRY.fullmatch(value):
        raise InvalidRequest("location", "a country of two letters (ISO 3166-1 alpha-2), or empty")
    return value.upper()


def used_seconds(value: Duration, field: str = "used_duration") -> int:
    """Check how long a call was talked: whole seconds of 30 days at most."""
    if value.nanos or not 0 <= value.seconds <= MAX_USED_SECONDS:
        raise InvalidRequest(field, f"whole seconds from 0 to {MAX_USED_SECONDS}")
    return value.seconds


def more_seconds(value: Duration) -> int:
    """Check the wish for more: whole seconds of one day at most; 0 only reports."""
    if value.nanos or not 0 <= value.seconds <= MAX_REQUESTED_SECONDS:
        raise InvalidRequest(
            "requested_duration", f"whole seconds from 0 to {MAX_REQUESTED_SECONDS}, or absent"
        )
    return value.seconds


def requested_seconds(value: Duration) -> int:
    """Check the wish for a duration: whole seconds of one day at most."""
    if value.nanos or not 1 <= value.seconds <= MAX_REQUESTED_SECONDS:
        raise InvalidRequest(
            "requested_duration", f"whole seconds from 1 to {MAX_REQUESTED_SECONDS}, or absent"
        )
    return value.seconds


MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE = 1_000, 100


def page_size(asked: int) -> int:
    """Read how many are wanted at most; 0 is the usual number."""
    if not 0 <= asked <= MAX_PAGE_SIZE:
        raise InvalidRequest("page_size", f"from 1 to {MAX_PAGE_SIZE}, or 0")
    return asked or DEFAULT_PAGE_SIZE


def no_such_page() -> InvalidRequest:
    """Make the error of a token that no page came with."""
    return InvalidRequest("page_token", "the next_page_token of the page before")
