"""What an answer is rendered from besides the ledger's figures, as it is kept with that answer.

Packed when a question is decided, unpacked when it is answered, at once or asked again: an answer
never looks at today's facts. The ledger keeps it as a text and does not read it, but for `PAYING`:
what follows it tells of rate and purses, and stays with a call that is paid as it began.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from policy.decision import Admission, CreditsPurse, Payer, PayerKind, PoolPurse, Purse, Refusal
from policy.facts import Call, CallKind, Facts, Rate, Tenant
from server.ledger.codec import UNIT
from server.ledger.requests import PAYING, paying_part

# The ledger keeps no control characters, and an id may hold any other: so it is escaped.
_SEPARATOR, _ESCAPE = "|", "%"
_LAYOUT = "2"
# Calls that began before have the rate in front of what tells of the person.
_FORMER_LAYOUT = "1"
_FORMER_PERSON_AT = 16
_PERSON_AT, _ASKED_AT, _RATE_AT, _FIXED_FIELDS = 11, 13, 18, 23
_PURSE_FIELDS = 5
# Behind `PAYING`, before the purses: one for the separator, and those of the rate.
_PAYING_FIELDS = 1 + _FIXED_FIELDS - _RATE_AT
_CALLBACK = "!"


class ToldPurse(NamedTuple):
    """A purse as a caller is told of it. `kind` is "free", "pool" or "credits"."""

    kind: str
    capability: str
    pool_id: str = ""
    counter: str = ""
    period: str = ""


class AskedCall(NamedTuple):
    """What was asked of a call: enough to ask the rules again while it runs.

    What the answer says as well is left empty: `called_number` where it is the far end's, and
    `account_ids` where the payer alone was named.
    """

    kind: str
    called_number: str
    calling_number: str
    # Between spaces, which no id holds; one space where the question named nobody.
    account_ids: str
    # A country; "!" after it where the call answers an emergency call.
    location: str


class DecisionContext(NamedTuple):
    """What was decided about a call, in the words an answer needs."""

    payer_kind: PayerKind | None
    account_id: str
    called_number: str
    call_type: str
    country: str
    label: str
    catalogue_version: str
    directory_version: str
    currency: str
    origin_assumed: bool
    rate: Rate | None
    # Where the account that pays is at home, and its own number: usage records name them.
    location: str
    own_number: str
    asked: AskedCall
    purses: tuple[ToldPurse, ...]


def call_context(call: Call, verdict: Admission | Refusal, facts: Facts) -> DecisionContext:
    """Gather what an answer needs of what was asked and of what the rules said."""
    payer, destination = verdict.payer, verdict.destination
    admitted = verdict if isinstance(verdict, Admission) else None
    return DecisionContext(
        payer.kind if payer else None,
        payer.account_id if payer else "",
        verdict.called_number,
        verdict.call_type,
        destination.country if destination else "",
        destination.label if destination else "",
        facts.catalogue.version,
        facts.tenant.digest,
        facts.tenant.currency,
        admitted.origin_assumed if admitted else False,
        admitted.rate if admitted else None,
        *_person(payer, facts.tenant),
        _asked(call, verdict),
        tuple([told_purse(purse) for purse in admitted.purses]) if admitted else (),
    )


def pack(context: DecisionContext) -> str:
    """Pack a context into a text without control characters but those of `PAYING`."""
    fields = [
        _LAYOUT,
        context.payer_kind or "",
        *context[1:9],
        "1" if context.origin_assumed else "",
        context.location,
        context.own_number,
        *context.asked,
    ]
    paying = ["", *_rate(context.rate)]
    for purse in context.purses:
        paying += purse
    return f"{_join(fields)}{PAYING}{_join(paying)}"


class KeptContext:
    """The context of calls that are alike, but for who calls and the numbers of each call."""

    __slots__ = ("_head", "_middle", "_separators", "paying")

    def __init__(self, context: DecisionContext) -> None:
        self._head = _join([_LAYOUT, context.payer_kind or "", ""])
        between = [*context[3:9], "1" if context.origin_assumed else "", context.location]
        self._middle = _join(["", *between, ""])
        # Of a text without any in its fields.
        self._separators = _RATE_AT - 1
        self.paying = paying_part(pack(context))

    def of_call(
        self, account_id: str, called_number: str, own_number: str, *, asked: tuple[str, ...]
    ) -> str | None:
        """Pack the context of one call, less `paying`; `asked` is an `AskedCall`, or like one.

        None where anything has to be escaped, or may not be kept: `pack` deals with it.
        """
        person = f"{self._head}{account_id}|{called_number}{self._middle}{own_number}"
        text = f"{person}|{_SEPARATOR.join(asked)}"
        if text.count(_SEPARATOR) != self._separators or _ESCAPE in text:
            return None
        return text if text.isprintable() else None


def unpack(text: str) -> DecisionContext:
    """Read what `pack` made."""
    fields = _split(text.replace(UNIT, ""))
    if fields[0] == _FORMER_LAYOUT:
        rate = fields[_PERSON_AT:_FORMER_PERSON_AT]
        fields[_PERSON_AT:_FIXED_FIELDS] = [*fields[_FORMER_PERSON_AT:_FIXED_FIELDS], *rate]
        fields[0] = _LAYOUT
    assert fields[0] == _LAYOUT, f"a context of layout {fields[0]!r} is not known here"
    payer_kind, account_id, called_number, call_type, country, label = fields[1:7]
    catalogue_version, directory_version, currency, assumed = fields[7:_PERSON_AT]
    location, own_number = fields[_PERSON_AT:_ASKED_AT]
    return DecisionContext(
        PayerKind(payer_kind) if payer_kind else None,
        account_id,
        called_number,
        call_type,
        country,
        label,
        catalogue_version,
        directory_version,
        currency,
        assumed == "1",
        _read_rate((currency, *fields[_RATE_AT:_FIXED_FIELDS])),
        location,
        own_number,
        AskedCall(*fields[_ASKED_AT:_RATE_AT]),
        tuple(
            [
                ToldPurse(*fields[at : at + _PURSE_FIELDS])
                for at in range(_FIXED_FIELDS, len(fields), _PURSE_FIELDS)
            ]
        ),
    )


def call_again(tenant_id: str, context: DecisionContext) -> Call:
    """Build the question that a call was admitted by, as the rules are asked it again."""
    asked = context.asked
    kind = CallKind(asked.kind)
    called_number = asked.called_number or context.called_number
    return Call(
        kind,
        tenant_id,
        called_number,
        calling_number=asked.calling_number,
        account_ids=tuple((asked.account_ids or context.account_id).split()),
        service_number=called_number if kind is CallKind.SERVICE_NUMBER else "",
        location=asked.location.removesuffix(_CALLBACK),
        emergency_callback=asked.location.endswith(_CALLBACK),
    )


def _asked(call: Call, verdict: Admission | Refusal) -> AskedCall:
    called_number = call.service_number or call.called_number
    account_ids = " ".join(call.account_ids) or " "
    payer_id = verdict.payer.account_id if verdict.payer else ""
    return AskedCall(
        call.kind,
        "" if called_number == verdict.called_number else called_number,
        call.calling_number,
        "" if account_ids == payer_id else account_ids,
        call.location + (_CALLBACK if call.emergency_callback else ""),
    )


def purses_part(paying: str) -> str:
    """Return what a context tells of purses alone; `paying` is its `paying_part`."""
    before = _PAYING_FIELDS if paying.startswith(PAYING) else _FIXED_FIELDS
    return paying.replace(UNIT, "").split(_SEPARATOR, before)[-1]


def with_capability(part: str, index: int, purse: ToldPurse) -> ToldPurse:
    """Add to a purse what licence allowed it, as the `purses_part` tells it at the purse's place.

    A call that went on under other facts may have a context of other purses: then it is not known.
    """
    at = index * _PURSE_FIELDS
    fields = part.split(_SEPARATOR)[at : at + _PURSE_FIELDS]
    if len(fields) < _PURSE_FIELDS:
        return purse
    told = ToldPurse(*_split(_SEPARATOR.join(fields)))
    return told if told._replace(capability="") == purse else purse


def _join(fields: list[str]) -> str:
    text = _SEPARATOR.join(fields)
    # Nearly always there is nothing to escape.
    if _ESCAPE not in text and text.count(_SEPARATOR) == len(fields) - 1:
        return text
    return _SEPARATOR.join(
        [
            field.replace(_ESCAPE, f"{_ESCAPE}E").replace(_SEPARATOR, f"{_ESCAPE}S")
            for field in fields
        ]
    )


def _split(text: str) -> list[str]:
    fields = text.split(_SEPARATOR)
    if _ESCAPE not in text:
        return fields
    return [
        field.replace(f"{_ESCAPE}S", _SEPARATOR).replace(f"{_ESCAPE}E", _ESCAPE) for field in fields
    ]


def _person(payer: Payer | None, tenant: Tenant) -> tuple[str, str]:
    user = None if payer is None else tenant.users.get(payer.account_id)
    return (tenant.country, "") if user is None else (user.usage_location, user.number)


def _rate(rate: Rate | None) -> tuple[str, ...]:
    if rate is None:
        return "", "", "", "", ""
    return (
        rate.rate_id,
        str(rate.micros_per_minute),
        str(rate.connection_fee_micros),
        str(rate.first_increment_seconds),
        str(rate.next_increment_seconds),
    )


# Many calls have the same.
@lru_cache(maxsize=4_096)
def _read_rate(fields: tuple[str, ...]) -> Rate | None:
    currency, rate_id, per_minute, fee, first, following = fields
    if not per_minute:
        return None
    return Rate(rate_id, currency, int(per_minute), int(fee), int(first), int(following))


def told_purse(purse: Purse) -> ToldPurse:
    """Name a purse as callers are told of it."""
    if isinstance(purse, PoolPurse):
        return ToldPurse("pool", purse.capability, purse.pool_id, purse.counter, purse.period)
    return _told_other("credits" if isinstance(purse, CreditsPurse) else "free", purse.capability)


# By kind and capability there are a handful.
@lru_cache(maxsize=64)
def _told_other(kind: str, capability: str) -> ToldPurse:
    return ToldPurse(kind, capability)
