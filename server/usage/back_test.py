"""What a period would have cost: its usage played against another catalogue, or other facts.

With tenants every call is asked again, by the rules, and walks over its purses: pools and spend
limits are filled anew, month by month. Without, the purses that paid stay, and credits are priced
anew. The balance is not played: what is charged is taken to have been there. Calls that were
refused at the time are no usage, so they stay refused. Pure; `reading` brings the records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from policy.admission import admit
from policy.allowance import month
from policy.decision import Admission, CreditsPurse, FreePurse, PoolPurse, Refusal
from policy.destination import NANP_CODE, WORLD, Destination, NumberClass, find_destination
from policy.facts import Call, CallKind, Catalogue, Facts, Rate, Tenant
from policy.payer import EMERGENCY_CALLBACK_CALL_TYPE, TRAITS, VOICE_APPLICATION_CALL_TYPE
from policy.rating import (
    NANP_RATE_COUNTRY,
    affordable_seconds,
    dearest_toll_free_rate,
    price_micros,
    rate_for_destination,
    rate_for_toll,
    rate_for_toll_free,
)
from policy.reasons import Reason

# How many answers of the rules are kept; they are asked again after that.
MAX_KEPT: Final = 200_000

_KINDS: Final = {
    **{traits.direct_routing_call_type: kind for kind, traits in TRAITS.items()},
    **{traits.call_type: kind for kind, traits in TRAITS.items()},
    VOICE_APPLICATION_CALL_TYPE: CallKind.SERVICE_NUMBER,
    EMERGENCY_CALLBACK_CALL_TYPE: CallKind.INBOUND,
}
_UNKNOWN_ORIGINS: Final = frozenset({"", WORLD})


class Part(NamedTuple):
    """What one purse paid of a call, and what it had paid in records before."""

    purse: str
    seconds: int
    charge_micros: int
    seconds_before: int = 0


class PlayedCall(NamedTuple):
    """One call of the period, as its usage records tell of it."""

    tenant_id: str
    account_id: str
    call_type: str
    caller_id: str
    destination_number: str
    external_country: str
    start_ms: int
    currency: str
    parts: tuple[Part, ...]

    @property
    def seconds(self) -> int:
        """How long it lasted, by these records."""
        return sum(part.seconds for part in self.parts)

    @property
    def charged_micros(self) -> int:
        """What it was charged, by these records."""
        return sum(part.charge_micros for part in self.parts)


@dataclass(slots=True)
class Sums:
    """Calls of one kind: what they were charged, and what they would have been."""

    calls: int = 0
    seconds: int = 0
    charged_micros: int = 0
    would_micros: int = 0
    refused_calls: int = 0
    refused_micros: int = 0

    def add(self, call: PlayedCall, would: int, refused: Reason | None) -> None:
        """Count one call; what it was charged that would be refused is told apart as well."""
        charged = call.charged_micros
        # What is only corrected was counted with its first record.
        self.calls += any(not part.seconds_before for part in call.parts)
        self.seconds += call.seconds
        self.charged_micros += charged
        self.would_micros += would
        if refused is not None:
            self.refused_calls += 1
            self.refused_micros += charged


# By currency and: nothing more, tenant and account, country.
Key = tuple[str, ...]


@dataclass(slots=True)
class Played:
    """What came of it."""

    totals: dict[str, Sums] = field(default_factory=dict)
    by_account: dict[Key, Sums] = field(default_factory=dict)
    by_country: dict[Key, Sums] = field(default_factory=dict)
    refusals: Counter[Reason] = field(default_factory=Counter)
    # Calls of tenants that the other directory does not have.
    left_out: int = 0


class BackTest:
    """Plays calls, in the order they ended; rates are those in force at `rates_at_ms`."""

    def __init__(
        self,
        catalogue: Catalogue,
        tenants: Mapping[str, Tenant] | None = None,
        *,
        rates_at_ms: int,
    ) -> None:
        self.played = Played()
        self._catalogue = catalogue
        self._tenants = tenants
        self._at_ms = rates_at_ms
        self._rates: dict[tuple[str, str, str], Rate | None] = {}
        self._answers: dict[tuple[str, ...], Admission | Refusal] = {}
        self._seconds: Counter[tuple[str, str, str, str]] = Counter()
        self._spent: Counter[tuple[str, str, str]] = Counter()

    def play_all(self, calls: Iterable[PlayedCall]) -> None:
        """Play them."""
        for call in calls:
            self.play(call)

    def play(self, call: PlayedCall) -> None:
        """Play one call."""
        if self._tenants is None:
            would, refused = self._reprice(call)
        else:
            tenant = self._tenants.get(call.tenant_id)
            if tenant is None:
                self.played.left_out += 1
                return
            would, refused = self._decide(call, tenant)
        currency, played = call.currency, self.played
        for table, key in (
            (played.by_account, (currency, call.tenant_id, call.account_id)),
            (played.by_country, (currency, call.external_country)),
        ):
            table.setdefault(key, Sums()).add(call, would, refused)
        played.totals.setdefault(currency, Sums()).add(call, would, refused)
        if refused is not None:
            played.refusals[refused] += 1

    # --- The same purses, other rates ---------------------------------------------------------

    def _reprice(self, call: PlayedCall) -> tuple[int, Reason | None]:
        would = 0
        first = call.parts[0]
        for part in call.parts:
            if part.purse != "credits":
                continue
            rate = self._rate(call)
            if rate is None:
                return 0, Reason.DESTINATION_UNRATED
            would += _priced(rate, part, with_fee=part is first)
        return would, None

    def _rate(self, call: PlayedCall) -> Rate | None:
        arriving = _is_arriving(call)
        origin = call.external_country if arriving else ""
        key = call.currency, call.destination_number, origin
        if key not in self._rates:
            if len(self._rates) >= MAX_KEPT:
                self._rates.clear()
            self._rates[key] = self._find_rate(call, arriving=arriving)
        return self._rates[key]

    def _find_rate(self, call: PlayedCall, *, arriving: bool) -> Rate | None:
        catalogue, currency, number = self._catalogue, call.currency, call.destination_number
        if not arriving:
            return rate_for_destination(catalogue, currency, number, now_ms=self._at_ms)
        service = find_destination(catalogue.destinations, catalogue.longest_prefix, number)
        if service is None:
            return None
        country = _country_of(service)
        if service.number_class is not NumberClass.TOLL_FREE:
            return rate_for_toll(catalogue, currency, country, now_ms=self._at_ms)
        if call.external_country in _UNKNOWN_ORIGINS:
            return dearest_toll_free_rate(catalogue, currency, country, now_ms=self._at_ms)
        return rate_for_toll_free(
            catalogue,
            currency,
            country,
            origin_country=call.external_country,
            now_ms=self._at_ms,
        )

    # --- The rules, asked again ---------------------------------------------------------------

    def _decide(self, call: PlayedCall, tenant: Tenant) -> tuple[int, Reason | None]:
        answer = self._answer(call, tenant)
        if isinstance(answer, Refusal):
            return 0, answer.reason
        walk = _Walk(call.tenant_id, month(tenant.time_zone, call.start_ms), call.seconds)
        before = sum(part.seconds_before for part in call.parts)
        would, reason = 0, Reason.CREDITS_EXHAUSTED
        for purse in answer.purses:
            if isinstance(purse, FreePurse):
                return would, None
            reason = purse.exhausted_reason
            if isinstance(purse, PoolPurse):
                self._take_minutes(walk, purse)
            else:
                would += self._take_credits(walk, purse, 0 if walk.left < walk.wanted else before)
                if purse.spend_limit is not None and walk.left:
                    reason = Reason.SPEND_LIMIT_REACHED
            if not walk.left:
                return would, None
        return would, reason if walk.left == walk.wanted else None

    def _answer(self, call: PlayedCall, tenant: Tenant) -> Admission | Refusal:
        key = (
            *(call.tenant_id, call.call_type, call.account_id),
            *(call.caller_id if _is_arriving(call) else "", call.destination_number),
        )
        answer = self._answers.get(key)
        if answer is None:
            if len(self._answers) >= MAX_KEPT:
                self._answers.clear()
            facts = Facts(self._catalogue, tenant)
            answer = self._answers[key] = admit(_question(call, tenant), facts, self._at_ms)
        return answer

    def _take_minutes(self, walk: _Walk, purse: PoolPurse) -> None:
        place = walk.tenant_id, purse.pool_id, walk.period
        sizes = {counter.name: counter.size_seconds for counter in purse.counters}
        if any(self._seconds[*place, name] >= size for name, size in sizes.items()):
            return
        key = (*place, purse.counter)
        taken = min(walk.left, sizes[purse.counter] - self._seconds[key])
        self._seconds[key] += taken
        walk.left -= taken

    def _take_credits(self, walk: _Walk, purse: CreditsPurse, before: int) -> int:
        is_first = walk.left == walk.wanted
        part, limit = Part("credits", walk.left, 0, before), purse.spend_limit
        micros = _priced(purse.rate, part, with_fee=is_first)
        if limit is not None:
            key = walk.tenant_id, limit.account_id, walk.period
            room = limit.limit_micros - self._spent[key]
            if micros > room:
                fee = purse.rate.connection_fee_micros if is_first else 0
                seconds = affordable_seconds(purse.rate, max(0, room - fee), part.seconds)
                part = part._replace(seconds=min(seconds, part.seconds))
                micros = _priced(purse.rate, part, with_fee=is_first)
            self._spent[key] += micros
        walk.left -= part.seconds
        return micros


@dataclass(slots=True)
class _Walk:
    """A call on its way over the purses."""

    tenant_id: str
    period: str
    wanted: int
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.wanted


def _priced(rate: Rate, part: Part, *, with_fee: bool) -> int:
    """Price what a record adds to those before it; the fee falls due with the first second."""
    until = part.seconds_before + part.seconds
    micros = price_micros(rate, until) - price_micros(rate, part.seconds_before)
    is_begun = part.seconds > 0 and not part.seconds_before
    return micros + (rate.connection_fee_micros if with_fee and is_begun else 0)


def _is_arriving(call: PlayedCall) -> bool:
    return TRAITS[_KINDS.get(call.call_type, CallKind.USER)].arriving


def _country_of(service: Destination) -> str:
    nobodys = service.country == WORLD and service.prefix.startswith(NANP_CODE)
    return NANP_RATE_COUNTRY if nobodys else service.country


def _question(call: PlayedCall, tenant: Tenant) -> Call:
    """Ask what was asked then, as far as records tell; an account stands for who called by it."""
    kind = _KINDS.get(call.call_type, CallKind.USER)
    traits = TRAITS[kind]
    accounts = (call.account_id,)
    if traits.arriving and (kind is CallKind.SERVICE_NUMBER or call.account_id not in tenant.users):
        return Call(
            CallKind.SERVICE_NUMBER,
            call.tenant_id,
            call.destination_number,
            call.caller_id,
            service_number=call.destination_number,
        )
    if call.account_id in tenant.resource_accounts and not traits.arriving:
        kind = CallKind.ATTENDANT_TRANSFER
    return Call(
        kind,
        call.tenant_id,
        call.destination_number,
        call.caller_id,
        accounts,
        emergency_callback=call.call_type == EMERGENCY_CALLBACK_CALL_TYPE,
    )
