"""The rows of the catalogue's tables, as their files spell them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from policy.destination import NumberClass
from policy.facts import ConferenceScope, PstnScope, ShortCodeClass, Treatment
from server.facts.files.figures import Country, Increments, Money

Digits = Annotated[
    str, msgspec.Meta(pattern=r"\A[1-9][0-9]{0,14}\Z", description='digits without "+", at most 15')
]
CountryOrWorld = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A([A-Z]{2}|001)\Z",
        description='a country code of two capitals, such as "IT", or 001 for no country',
    ),
]
CountryOrAny = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A([A-Z]{2}|\*)\Z", description='a country code such as "IT", or * for any other'
    ),
]
DestinationOrCountry = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A([A-Z]{2}|[1-9][0-9]{0,14})\Z",
        description='a country code such as "IT", or the digits of a prefix without "+"',
    ),
]
Label = Annotated[
    str, msgspec.Meta(min_length=1, max_length=64, description="a name of 1 to 64 characters")
]
Name = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[A-Za-z0-9_]{1,64}\Z", description="a name of 1 to 64 letters, digits and _"
    ),
]
NameOrNone = Annotated[
    str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_]{0,64}\Z", description="a name, or nothing")
]
Minutes = Annotated[
    int, msgspec.Meta(ge=0, le=1_000_000, description="minutes a month, 0 to 1000000")
]
MoneyOrNone = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A([0-9]{1,8}(\.[0-9]{1,6})?)?\Z",
        description='an amount in units, at most 99999999 with six decimals, such as "50.00", or '
        "nothing where the rate ends",
    ),
]
# A text, for a cell may be empty.
Length = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A([1-9]|1[0-5])?\Z",
        description="how many digits the whole number has, 1 to 15, or nothing for any",
    ),
]
Text = Annotated[str, msgspec.Meta(max_length=256, description="at most 256 characters")]
YesOrNo = Literal["yes", "no"]
NumberClassOrBoth = Literal[
    "", "ordinary", "mobile", "toll_free", "premium", "shared_cost", "global_network"
]


class Row(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One row of a table. A row of the operator's replaces those that agree with it in `KEY`."""

    KEY: ClassVar[tuple[str, ...]] = ()


class CountryNameRow(Row, frozen=True):
    """A country that other tables may name."""

    country: Country
    name: Label


class CountryRow(Row, frozen=True):
    """A country of a list."""

    country: Country


class PrefixRow(Row, frozen=True):
    """Where the numbers of a prefix lead; with a length, only those of so many digits."""

    KEY: ClassVar = ("prefix", "length")

    prefix: Digits
    country: CountryOrWorld
    number_class: NumberClass
    label: Label
    length: Length = ""


class EmergencyRow(Row, frozen=True):
    """The emergency numbers of a country; masks read mask>number."""

    country: Country
    numbers: Text
    dial_masks: Text


class PremiumRow(Row, frozen=True):
    """What holders in a country may dial of a prefix; * is every premium number of theirs.

    Country * is holders in any country; with a length, only numbers of so many digits are meant.
    """

    KEY: ClassVar = ("country", "prefix", "length")

    country: CountryOrAny
    prefix: Annotated[
        str,
        msgspec.Meta(pattern=r"\A(\*|[1-9][0-9]{0,14})\Z", description='digits without "+", or *'),
    ]
    treatment: Treatment
    length: Length = ""


class ShortCodeRow(Row, frozen=True):
    """What a short code of a country is; x stands for any digit."""

    KEY: ClassVar = ("country", "code")

    country: Country
    code: Annotated[
        str,
        msgspec.Meta(
            pattern=r"\A(?=.{2,6}\Z)[0-9]+x*\Z", description='2 to 6 digits, the last may be "x"'
        ),
    ]
    treatment: ShortCodeClass
    label: Label


class RestrictionRow(Row, frozen=True):
    """One of the fixed outbound calling restrictions."""

    KEY: ClassVar = ("identity",)

    identity: Name
    conference_scope: ConferenceScope
    pstn_scope: PstnScope


class PlanRow(Row, frozen=True):
    """A Calling Plan as a country sells it."""

    KEY: ClassVar = ("plan", "country")

    plan: Name
    country: CountryOrAny
    domestic_minutes: Minutes
    international_minutes: Minutes
    pooled: YesOrNo
    pay_as_you_go: YesOrNo


class SkuRow(Row, frozen=True):
    """A licence name: the capabilities it brings, separated by spaces, and its plan."""

    KEY: ClassVar = ("sku",)

    sku: Name
    capabilities: Text
    plan: NameOrNone
    product: Label


class ReachRow(Row, frozen=True):
    """A further country that a country's toll-free numbers can be called from."""

    country: Country
    origin: Country


class PricedRow(Row, frozen=True):
    """The price that every kind of rate row ends with; without one, the rate before it ends."""

    per_minute: MoneyOrNone
    connection_fee: Money
    increments: Increments
    valid_from: Text


class RateRow(PricedRow, frozen=True):
    """What a destination costs: a prefix, or all of a country's numbers of a class."""

    destination: DestinationOrCountry
    number_class: NumberClassOrBoth


class TollFreeRateRow(PricedRow, frozen=True):
    """What a call to a country's toll-free number costs, by where it comes from."""

    country: Country
    origin: Country


class TollRateRow(PricedRow, frozen=True):
    """What a call to a country's toll number costs, where it is charged at all."""

    country: Country
