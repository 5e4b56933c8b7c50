"""The sections of a tenant's file, as the file spells them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from policy.facts import Connectivity, FundingModel, PoolBasis, ServiceKind, UnknownOrigin
from server.facts.files.figures import E164, Country, Money

# Of people and resource accounts: what user principal names hold, o'neil and guests (#EXT#) among
# them, and nothing that ends a word in a file, a line of a log or a path.
ID_PATTERN = r"\A[A-Za-z0-9._@+'#!^~&$=-]{1,128}\Z"
ID_WORDS = "1 to 128 letters, digits and any of . _ @ + - ' # ! ^ ~ & $ ="
_TENANT_PATTERN = r"\A[A-Za-z0-9._@+-]{1,64}\Z"
_TENANT_WORDS = "1 to 64 letters, digits and any of . _ @ + -"

TenantId = Annotated[
    str, msgspec.Meta(pattern=_TENANT_PATTERN, description=f"an id of {_TENANT_WORDS}")
]
Currency = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[A-Z]{3}\Z", description='a currency of three capitals, such as "USD"'
    ),
]
Licence = Annotated[
    str, msgspec.Meta(min_length=1, max_length=64, description="licence names of skus.csv")
]
Licences = Annotated[list[Licence], msgspec.Meta(max_length=32)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000, description="a number, 0 to 1000000")]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1_000_000, description="a number, 1 to 1000000")]
Digits = Annotated[
    str, msgspec.Meta(pattern=r"\A[1-9][0-9]{0,14}\Z", description='digits without "+", at most 15')
]
Pattern = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=128,
        description="regular expressions over digits, of 1 to 128 characters",
    ),
]
Patterns = Annotated[list[Pattern], msgspec.Meta(max_length=50)]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=64, description="1 to 64 characters")]
# What mail servers agree on without quotes, and nothing that could end a line or a header.
MAIL_ADDRESS_PATTERN = (
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64})*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)

MAX_ADDRESS_CHARACTERS = 254
MailAddress = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"\A{MAIL_ADDRESS_PATTERN}\Z",
        max_length=MAX_ADDRESS_CHARACTERS,
        description="plain mail addresses, such as billing@example.com, at most 20",
    ),
]
Recipients = Annotated[list[MailAddress], msgspec.Meta(max_length=20)]
WebhookUrl = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A(https?://[!-~]{1,2000})?\Z",
        description="a URL of https, of at most 2000 characters",
    ),
]
NoticeDays = Annotated[int, msgspec.Meta(ge=1, le=180, description="days, 1 to 180")]
OptionalName = Annotated[str, msgspec.Meta(max_length=64, description="a name")]


class FileSection(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """One section. Written out, it leaves out what is at its default."""


class UserSection(FileSection, frozen=True):
    """A person."""

    usage_location: Country
    licences: Licences = []
    number: E164 | None = None
    connectivity: Connectivity = Connectivity.CALLING_PLAN
    restriction: OptionalName = ""
    shared_calling_account: OptionalName = ""
    allow_toll_free_dial_in: bool = True
    spend_limit: Money | None = None
    concurrent_calls_limit: Limit | None = None
    frozen: bool = False


class ResourceAccountSection(FileSection, frozen=True):
    """The account behind an attendant, a queue or a Shared Calling policy."""

    usage_location: Country
    licences: Licences = []
    restriction: OptionalName = ""
    concurrent_calls_limit: Limit | None = None
    frozen: bool = False


class ServiceNumberSection(FileSection, frozen=True):
    """A service number; `country` is needed only where the number itself has none."""

    service: ServiceKind
    account: OptionalName = ""
    country: Country | None = None


class DialPlanSection(FileSection, frozen=True):
    """One rule of the tenant's dial plan."""

    name: Label
    pattern: Pattern
    translation: Label


class InboundBlockSection(FileSection, frozen=True):
    """Callers that do not get through, and those that do all the same."""

    enabled: bool
    patterns: Patterns = []
    exemptions: Patterns = []


class NoticeLanguage(StrEnum):
    """In which notices are written."""

    ENGLISH = "en"
    ITALIAN = "it"


class NoticesSection(FileSection, frozen=True):
    """Whom to tell of the tenant's money and minutes, and when."""

    recipients: Recipients = []
    language: NoticeLanguage = NoticeLanguage.ENGLISH
    webhook_url: WebhookUrl = ""
    low_balance: Money | None = None
    expiring_days: NoticeDays = 30


class TenantSection(FileSection, frozen=True):
    """The head of the file: everything that is no table of its own."""

    id: TenantId
    country: Country
    currency: Currency
    funding_model: FundingModel
    time_zone: Annotated[str, msgspec.Meta(max_length=64)] = "UTC"
    restriction: Label = "DialoutCPCandPSTNInternational"
    credits_enabled: bool = True
    opening_balance: Money | None = None
    overage_enabled: bool = True
    auto_recharge: bool = False
    fold_case: bool = False
    per_minute_conferencing: bool = False
    overdraft: Money = "0"
    frozen: bool = False
    dial_out_pool_basis: PoolBasis = PoolBasis.PURCHASED
    overflow_to_calling_plan: bool = False
    unknown_origin: UnknownOrigin = UnknownOrigin.DEAREST
    concurrent_calls_limit: Limit | None = None
    blocked_prefixes: Annotated[list[Digits], msgspec.Meta(max_length=100)] = []
