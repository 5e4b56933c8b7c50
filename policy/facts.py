"""The facts a decision is made from: frozen, checked whole when they were loaded, swapped whole.

Tenants own users, resource accounts and service numbers. The catalogue says where numbers lead and
what they cost. A decision sees one `Facts` from its first rule to its last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from policy.destination import Destination


class CallKind(StrEnum):
    """The kinds of call; the kind decides who pays."""

    USER = "user"
    FORWARDED = "forwarded"
    TRANSFERRED = "transferred"
    ADDED_PARTY = "added_party"
    MEETING_DIAL_OUT = "meeting"
    CALL_ME = "call_me"
    SERVICE_NUMBER = "service_number"
    ATTENDANT_TRANSFER = "attendant"
    QUEUE_TRANSFER = "queue"
    INBOUND = "inbound"


class Call(NamedTuple):
    """One question, translated from the wire and within every field limit.

    `called_number` and `calling_number` are as dialled or presented. `account_ids` holds whom the
    kind speaks of: the user, the organizer, or the chain of resource accounts a call passed, the
    first one first; empty where a service number call names no organizer.
    """

    kind: CallKind
    tenant_id: str
    called_number: str
    calling_number: str = ""
    account_ids: tuple[str, ...] = ()
    service_number: str = ""
    # Where the caller is now (ISO alpha-2), if known; else the usage location counts.
    location: str = ""
    requested_seconds: int = 0
    # An inbound call that answers an emergency call; the block list does not apply.
    emergency_callback: bool = False


class Capability(StrEnum):
    """What a licence allows, after every SKU and bundle has been unfolded."""

    PHONE_SYSTEM = "phone_system"
    AUDIO_CONFERENCING = "audio_conferencing"
    AUDIO_CONFERENCING_PER_MINUTE = "audio_conferencing_per_minute"
    AUDIO_CONFERENCING_US_CA = "audio_conferencing_us_ca"
    EXTENDED_US_CA = "extended_us_ca"
    CREDITS = "credits"
    VIRTUAL_USER = "virtual_user"


class FundingModel(StrEnum):
    """How a tenant pays beyond its plans."""

    PREPAID = "prepaid"
    DRAIN_THEN_POST_PAID = "drain_then_post_paid"
    POST_PAID = "post_paid"
    NONE = "none"


class Connectivity(StrEnum):
    """Who carries a user's calls."""

    CALLING_PLAN = "calling_plan"
    DIRECT_ROUTING = "direct_routing"
    OPERATOR_CONNECT = "operator_connect"


class ConferenceScope(StrEnum):
    """Where meetings of an organizer may dial out to."""

    ANY = "any"
    SAME_COUNTRY_AS_ORGANIZER = "same_country_as_organizer"
    ZONE_A = "zone_a"
    NONE = "none"


class PstnScope(StrEnum):
    """Where a user's own calls may go."""

    INTERNATIONAL = "international"
    DOMESTIC = "domestic"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Restriction:
    """An outbound calling restriction: a scope for meetings and one for a user's own calls."""

    identity: str
    conference_scope: ConferenceScope
    pstn_scope: PstnScope


@dataclass(frozen=True, slots=True)
class Plan:
    """A Calling Plan as its holder's country sells it. Minutes are per licence and month."""

    capability: str
    domestic_minutes: int
    international_minutes: int
    pooled: bool
    pay_as_you_go: bool


@dataclass(frozen=True, slots=True)
class User:
    """A person of a tenant. A `restriction` of None means the tenant's, never "no restriction"."""

    user_id: str
    usage_location: str
    capabilities: frozenset[Capability]
    plan: Plan | None = None
    number: str = ""
    connectivity: Connectivity = Connectivity.CALLING_PLAN
    restriction: Restriction | None = None
    # The resource account that pays this user's calls (Shared Calling); empty for most.
    shared_calling_account_id: str = ""
    allow_toll_free_dial_in: bool = True
    spend_limit_micros: int | None = None
    concurrent_calls_limit: int | None = None
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class ResourceAccount:
    """The account behind an auto attendant, a call queue or a Shared Calling policy."""

    account_id: str
    usage_location: str
    capabilities: frozenset[Capability]
    plan: Plan | None = None
    restriction: Restriction | None = None
    concurrent_calls_limit: int | None = None
    frozen: bool = False


class ServiceKind(StrEnum):
    """What answers at a service number."""

    BRIDGE = "bridge"
    ATTENDANT = "attendant"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class ServiceNumber:
    """A toll or toll-free number of a tenant; `country` is where it belongs to."""

    number: str
    service: ServiceKind
    toll_free: bool
    country: str
    account_id: str = ""


@dataclass(frozen=True, slots=True)
class DialPlanRule:
    """A tenant's own normalization: a pattern over the dialled digits and what they become."""

    name: str
    pattern: re.Pattern[str]
    translation: str


class PoolBasis(StrEnum):
    """Which licences count into the tenant's meeting dial-out pool."""

    PURCHASED = "purchased"
    ASSIGNED = "assigned"


class UnknownOrigin(StrEnum):
    """How a toll-free call of unknown origin is rated."""

    DEAREST = "dearest"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Notices:
    """Whom a tenant wants told of its money and minutes, and when. No call depends on it."""

    recipients: tuple[str, ...] = ()
    language: str = "en"
    webhook_url: str = ""
    # None: nobody is told that the balance is low.
    low_balance_micros: int | None = None
    expiring_days: int = 30


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation: its users and numbers, its licences, how it pays, what it forbids.

    `pool_sizes` maps (pool id, counter name) to seconds a month, already summed over licences.
    `digest` identifies these very facts; a reservation is refused where the ledger knows others.
    """

    tenant_id: str
    country: str
    currency: str
    time_zone: str
    digest: str
    funding_model: FundingModel
    restriction: Restriction
    users: Mapping[str, User]
    resource_accounts: Mapping[str, ResourceAccount]
    service_numbers: Mapping[str, ServiceNumber]
    pool_sizes: Mapping[tuple[str, str], int]
    # The tenant holds credits licences at all; without, nobody of it is charged (580462).
    credits_enabled: bool = True
    # None: no balance was ever written; the account opens prepaid and never funded.
    opening_balance_micros: int | None = None
    overage_enabled: bool = True
    auto_recharge: bool = False
    # Ids of people and accounts by their lower case, where case does not count.
    folded_names: Mapping[str, str] = field(default_factory=dict)
    # Every toll-free and toll minute into a bridge is charged (pay-per-minute conferencing).
    per_minute_conferencing: bool = False
    overdraft_micros: int = 0
    frozen: bool = False
    dial_plan: tuple[DialPlanRule, ...] = ()
    blocked_prefixes: tuple[str, ...] = ()
    block_inbound: bool = False
    blocked_callers: tuple[re.Pattern[str], ...] = ()
    exempt_callers: tuple[re.Pattern[str], ...] = ()
    overflow_to_calling_plan: bool = False
    unknown_origin: UnknownOrigin = UnknownOrigin.DEAREST
    concurrent_calls_limit: int | None = None
    notices: Notices = Notices()

    def name_of(self, account_id: str) -> str:
        """Say which id is meant: the very one, or what it is without regard to case."""
        if account_id in self.users or account_id in self.resource_accounts:
            return account_id
        return self.folded_names.get(account_id.lower(), account_id)


@dataclass(frozen=True, slots=True)
class EmergencyNumbers:
    """The emergency numbers of one country: digits exactly, and dial masks onto them."""

    country: str
    numbers: frozenset[str]
    dial_masks: Mapping[str, str] = field(default_factory=dict)


class ShortCodeClass(StrEnum):
    """What a short code costs: nothing whoever dials, what a rate of its own says, or no call."""

    FREE = "free"
    RATED = "rated"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ShortCode:
    """A short code of a country; an "x" of `code` is any digit."""

    country: str
    code: str
    treatment: ShortCodeClass
    label: str


class Treatment(StrEnum):
    """What premium and shared-cost numbers of a country do to its users."""

    CREDITS_ONLY = "credits"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class PremiumRule:
    """Holders in `country` dialling `prefix` ("*": every premium number of their country).

    With a `length`, only numbers of so many digits, country code included; 0 is any.
    """

    country: str
    prefix: str
    treatment: Treatment
    length: int = 0


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Where numbers lead and what they cost; one version, loaded and checked as a whole.

    Tables by prefix are plain mappings from digits; a look-up tries the longest first.
    """

    version: str
    destinations: Mapping[str, Destination]
    longest_prefix: int
    # currency -> prefix -> rows, the newest `valid_from` last. The rows of a prefix speak only of
    # the country and class that `destinations` gives the prefix itself ("1" alone has none, so a
    # row under it prices nothing); those of an ordinary prefix also price the mobiles behind it.
    rates: Mapping[str, Mapping[str, tuple[DatedRate, ...]]]
    # currency -> (country of the toll-free number, country of origin) -> rows.
    toll_free_rates: Mapping[str, Mapping[tuple[str, str], tuple[DatedRate, ...]]]
    # currency -> country of the toll number -> rows (pay-per-minute conferencing).
    toll_rates: Mapping[str, Mapping[str, tuple[DatedRate, ...]]]
    zone_a: frozenset[str]
    international_plan: frozenset[str]
    # country of the holders -> rules.
    premium_rules: Mapping[str, tuple[PremiumRule, ...]]
    emergency: Mapping[str, EmergencyNumbers]
    # country of a toll-free number -> the other countries it can be called from; mostly none.
    toll_free_reach: Mapping[str, frozenset[str]] = field(default_factory=dict)
    # country -> code -> what it is.
    short_codes: Mapping[str, Mapping[str, ShortCode]] = field(default_factory=dict)
    # How long a prefix of `rates` is at most that is not in `destinations`; 0 where all are.
    # Too high a figure costs time alone; the default is the length of the longest number.
    finest_rate_prefix: int = 15


@dataclass(frozen=True, slots=True)
class Facts:
    """All that one decision looks at."""

    catalogue: Catalogue
    tenant: Tenant


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of one destination.

    Time is charged in blocks: the first increment whole, then each next increment begun.
    `rate_id` names the row it came from, for an operator to find it again.
    """

    rate_id: str
    currency: str
    micros_per_minute: int
    connection_fee_micros: int
    first_increment_seconds: int
    next_increment_seconds: int


@dataclass(frozen=True, slots=True)
class DatedRate:
    """A rate and the instant it comes into force (milliseconds since 1970, UTC).

    None ends the rate before it; a shorter prefix then speaks for its destination.
    """

    valid_from_ms: int
    rate: Rate | None
