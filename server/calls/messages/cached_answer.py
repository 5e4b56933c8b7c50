"""The bytes of an answer that are the same for calls decided alike, kept; the rest is filled in.

What comes of it is what `authorize_response` makes of the same answer, to the last byte: fields in
the order of their numbers, as the generated code writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from callgate.v1 import authorization_pb2 as pb
from policy.reasons import Reason
from server.calls.messages.advice import Advice
from server.calls.messages.parts import set_payer, set_price, set_reason, set_segments
from server.ledger import Segment
from server.ledger.decision_context import DecisionContext

_MS = 1_000
_NANOS_PER_MS = 1_000_000
# What is told of a grant depends on what it holds: for calls decided alike mostly the same.
_MOST_HOLDS = 64
_SECONDS_KEPT = 4_096
_NEITHER = b"-"

# Places of the ledger's figures.
_REPORT_IN, _LAPSES_IN, _MONEY_LEFT, _POOL_LEFT = 1, 2, 6, 7

# Tags of fields that have a length, and of the first and second whole number of a message.
_GRANT, _DECIDE_TIME = b"\x0a", b"\x52"
_FAR_END, _DIAL = b"\x7a", b"\x82\x01"
_REPORT_BY, _EXPIRE, _REMAINING = b"\x22", b"\x2a", b"\x52"
_POOL_DURATION, _AVAILABLE, _CURRENCY = b"\x0a", b"\x12", b"\x12"
_FIRST, _SECOND = b"\x08", b"\x10"
# Decision, payer and in it the account, number: tags and lengths before each.
_OF_CALL = b"\x1a%c%b" + b"\x22%b%b\x1a%c%b" + b"\x2a%b"


class OfCall(NamedTuple):
    """What is each call's own; its `number`, with its length, comes again at the end."""

    part: bytes
    number: bytes


class Hold(NamedTuple):
    """What a grant holds, and the part of the answer that tells of it."""

    segments: tuple[Segment, ...]
    part: bytes


class KeptAnswer:
    """The answers to calls that are placed and decided alike; `context` is that of any of them."""

    def __init__(self, context: DecisionContext, tenant_id: str, *, advice: Advice) -> None:
        self._context = context
        payer, part = pb.Payer(), pb.AuthorizeCallResponse()
        set_payer(payer, context._replace(account_id=""), tenant_id)
        part.call_type = context.call_type
        part.catalogue_version = context.catalogue_version
        part.directory_version = context.directory_version
        if context.country:
            part.destination.country = context.country
            part.destination.label = context.label
        end = pb.AuthorizeCallResponse(origin_assumed=context.origin_assumed).SerializeToString()
        handling = pb.AuthorizeCallResponse(failure_handling=advice.failure_handling)
        price = pb.Grant()
        set_price(price, context)
        self._payer, self._middle = payer.SerializeToString(), part.SerializeToString()
        self._refused_end, self._granted_end = end, handling.SerializeToString() + end
        self._price = price.SerializeToString()
        # With tag and length of the account.
        self._payer_bytes = len(self._payer) + 2
        self._currency = _sized(_CURRENCY, context.currency.encode())
        self._refusal = b""
        self._holds: dict[bytes, Hold] = {}

    def keep_refusal(self, reason: Reason, *, advice: Advice) -> None:
        """Keep how the rules' own refusal is told."""
        part = pb.AuthorizeCallResponse()
        set_reason(part.refusal, reason, advice)
        self._refusal = part.SerializeToString()

    def refused(self, of_call: OfCall, decided_ms: int) -> bytes:
        """Write what a call is told that the rules refuse; `of_call` is by the method below."""
        part, number = of_call
        (time,) = _times(decided_ms)
        # fmt: off
        return b"".join((
            self._refusal, part, self._middle, _DECIDE_TIME, time, self._refused_end,
            _FAR_END, number,
        ))
        # fmt: on

    def granted(
        self, of_call: OfCall, decided_ms: int, hold: Hold, *, figures: Sequence[bytes]
    ) -> bytes:
        """Write a grant; `figures` are the ledger's, as it writes them."""
        left = b""
        if figures[_POOL_LEFT] != _NEITHER:
            seconds = _whole(_FIRST, int(figures[_POOL_LEFT]))
            left = _POOL_DURATION + _VARINTS[len(seconds)] + seconds
        if figures[_MONEY_LEFT] != _NEITHER:
            money = _whole(_FIRST, int(figures[_MONEY_LEFT])) + self._currency
            left += _AVAILABLE + _VARINTS[len(money)] + money
        time, report_by, expire = _times(
            decided_ms, decided_ms + int(figures[_REPORT_IN]), decided_ms + int(figures[_LAPSES_IN])
        )
        grant = b"".join(
            (hold.part, _REPORT_BY, report_by, _EXPIRE, expire, self._price, _REMAINING)
        )
        grant += _VARINTS[len(left)] + left
        head = _GRANT + varint(len(grant))
        part, number = of_call
        # fmt: off
        return b"".join((
            head, grant, part, self._middle, _DECIDE_TIME, time, self._granted_end,
            _FAR_END, number, _DIAL, number,
        ))
        # fmt: on

    def of_call(self, decision_id: str, account_id: str, called_number: str) -> OfCall:
        """Write what is each call's own: its decision, who pays, the number as it was read.

        None of them is longer than an id may be, so that each length is one byte, and that of the
        payer at most two.
        """
        decision, account = decision_id.encode(), account_id.encode()
        digits, size = called_number.encode(), self._payer_bytes + len(account)
        number = b"%c%b" % (len(digits), digits)
        # fmt: off
        part = _OF_CALL % (
            len(decision), decision, _VARINTS[size], self._payer, len(account), account, number,
        )
        # fmt: on
        return OfCall(part, number)

    def hold(self, held: bytes) -> Hold:
        """Read what a new grant holds, as the ledger writes it, and how it is told."""
        hold = self._holds.get(held)
        if hold is None:
            hold = self._read_hold(held)
            if len(self._holds) < _MOST_HOLDS:
                self._holds[held] = hold
        return hold

    def _read_hold(self, held: bytes) -> Hold:
        rows = held.partition(b"|")[0].split(b",")
        segments = tuple([Segment(*map(int, row.split(b" "))) for row in rows])
        grant = pb.Grant()
        set_segments(grant, segments, self._context)
        return Hold(segments, grant.SerializeToString())


def varint(number: int) -> bytes:
    """Write a whole number as protobuf does: seven bits a byte, the lowest first."""
    if number < len(_VARINTS):
        return _VARINTS[number]
    return _write_varint(number)


def _write_varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _sized(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content)) + content


def _whole(tag: bytes, number: int) -> bytes:
    # Zero is not written. What is below zero is written as if it had 64 bits.
    if not number:
        return b""
    return tag + (
        _VARINTS[number] if 0 < number < len(_VARINTS) else _write_varint(number & _64_BITS)
    )


def _times(*times_ms: int) -> list[bytes]:
    """Write times, each with its length."""
    written = []
    for time_ms in times_ms:
        seconds, milliseconds = divmod(time_ms, _MS)
        first, second = _seconds(seconds), _NANOS[milliseconds]
        written.append(_VARINTS[len(first) + len(second)] + first + second)
    return written


# Those of a second, and those of a grant's ends: they come again and again.
@lru_cache(maxsize=_SECONDS_KEPT)
def _seconds(seconds: int) -> bytes:
    return _whole(_FIRST, seconds)


_64_BITS = 2**64 - 1
_VARINTS = [_write_varint(number) for number in range(1_024)]
_NANOS = [_whole(_SECOND, milliseconds * _NANOS_PER_MS) for milliseconds in range(_MS)]
