"""The reference model's terms: what may pay a call from here on, by today's facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policy.decision import CreditsPurse, PoolPurse, Purse
from server.ledger import codec as wire
from server.ledger.model.call import ModelCall
from server.ledger.requests import PAYING, Use, paying_part

_RATE_FIELDS, _PURSE_FIELDS = 6, 5
_FAR_END_AT = 3


@dataclass(frozen=True, slots=True)
class Terms:
    """Today's purses, then those of before that pay nothing more, their places in `gone`.

    `places` are where each was among the purses of before, None for a new one.
    """

    purses: tuple[Purse, ...]
    gone: frozenset[int]
    places: tuple[int | None, ...]
    context: str

    def take(self, call: ModelCall) -> None:
        """Let a call that holds nothing go on by these; what was paid stays with who paid it."""
        call.purses, call.gone, call.context = self.purses, self.gone, self.context
        call.uses = self._uses(call.uses)

    def end(self, call: ModelCall, before: ModelCall) -> None:
        """Let a call that is refused end as it was granted, unless these purses paid something."""
        if call.uses == self._uses(before.uses):
            call.purses, call.gone, call.context = before.purses, before.gone, before.context
            call.uses = before.uses

    def _uses(self, before: dict[int, Use]) -> dict[int, Use]:
        return {
            index: Use(index, *before[place][1:])
            for index, place in enumerate(self.places)
            if place is not None and place in before
        }


def terms_of(
    call: ModelCall,
    purses: Sequence[Purse],
    context: str,
    *,
    contexts: tuple[str, str],
    keeps_rate: bool,
) -> Terms | None:
    """Compare the purses of a call with those of today; None where these may pay as they did.

    `context` is that of today's question; `contexts` are that with which the call's purses came,
    and the one that is to tell the terms.
    """
    if not purses:
        return None
    began, told = contexts
    whats = [_what(purse) for purse in call.purses]
    places = [whats.index(what) if what in whats else None for what in map(_what, purses)]
    merged = [
        purse if place is None else _as_it_began(purse, call.purses[place], keeps_rate=keeps_rate)
        for purse, place in zip(purses, places, strict=True)
    ]
    gone = [place for place in range(len(whats)) if place not in places]
    rate_stays = keeps_rate and any(isinstance(purse, CreditsPurse) for purse in call.purses)
    terms = Terms(
        (*merged, *(call.purses[place] for place in gone)),
        frozenset(range(len(merged), len(merged) + len(gone))),
        (*places, *gone),
        told,
    )
    tenant_id = call.key.tenant_id
    if (wire.purses_text(terms.purses, tenant_id), terms.gone) == (
        wire.purses_text(call.purses, tenant_id),
        call.gone,
    ):
        return None
    before, today = _fields(began, len(whats)), _fields(context, len(purses))
    if before is None or today is None or PAYING not in told:
        return terms
    fields = (before if rate_stays else today)[:_RATE_FIELDS]
    for index, place in enumerate(terms.places):
        source, at = (today, index) if place is None else (before, place)
        start = _RATE_FIELDS + _PURSE_FIELDS * at
        fields += source[start : start + _PURSE_FIELDS]
    head = told[: told.index(PAYING)]
    return Terms(terms.purses, terms.gone, terms.places, f"{head}{PAYING}{'|'.join(fields)}")


def far_end(context: str) -> str | None:
    """Read which number a call leads to; None where its context does not tell."""
    if PAYING not in context:
        return None
    fields = context[: context.index(PAYING)].replace(wire.UNIT, "").split("|")
    return fields[_FAR_END_AT] if len(fields) > _FAR_END_AT + 1 else None


def _what(purse: Purse) -> object:
    if isinstance(purse, PoolPurse):
        return purse.counter, purse.pool_id
    return type(purse)


def _as_it_began(purse: Purse, before: Purse, *, keeps_rate: bool) -> Purse:
    if isinstance(purse, PoolPurse) and isinstance(before, PoolPurse):
        return purse._replace(period=before.period)
    if isinstance(purse, CreditsPurse) and isinstance(before, CreditsPurse):
        limit = purse.spend_limit
        if limit is not None and before.spend_limit is not None:
            limit = limit._replace(period=before.spend_limit.period)
        return purse._replace(rate=before.rate if keeps_rate else purse.rate, spend_limit=limit)
    return purse


def _fields(context: str, count: int) -> list[str] | None:
    if PAYING not in context:
        return None
    fields = paying_part(context).replace(wire.UNIT, "").split("|")
    return fields if len(fields) == _RATE_FIELDS + _PURSE_FIELDS * count else None
