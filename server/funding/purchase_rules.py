"""What a purchase of credits has to keep to, whoever pays it: by hand or by auto-recharge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policy.lot_life import LotLife
from policy.money import MICROS_PER_UNIT, written
from policy.rating import MAX_WHOLE_NUMBER
from server.funding.errors import FundingRefused, Why
from server.funding.funding_rows import FundingRow
from server.funding.providers.minor_units import ISO_4217, Counting

# What 20 units of dollars or euros are about worth, where a currency's unit is worth far less.
LEAST_UNITS: Mapping[str, int] = {
    "ARS": 20_000,
    "BIF": 60_000,
    "CLP": 20_000,
    "COP": 80_000,
    "CRC": 10_000,
    "CZK": 500,
    "DJF": 3_500,
    "EGP": 1_000,
    "GNF": 175_000,
    "HUF": 7_000,
    "IDR": 300_000,
    "INR": 2_000,
    "IQD": 25_000,
    "ISK": 2_500,
    "JMD": 3_000,
    "JPY": 3_000,
    "KES": 2_500,
    "KMF": 9_000,
    "KRW": 30_000,
    "KZT": 10_000,
    "LBP": 1_800_000,
    "LKR": 6_000,
    "MGA": 90_000,
    "NGN": 30_000,
    "PHP": 1_000,
    "PKR": 5_500,
    "PYG": 150_000,
    "RSD": 2_000,
    "RUB": 1_500,
    "RWF": 30_000,
    "THB": 700,
    "TWD": 600,
    "TZS": 50_000,
    "UGX": 75_000,
    "UZS": 250_000,
    "VND": 500_000,
    "VUV": 2_500,
    "XAF": 12_000,
    "XOF": 12_000,
    "XPF": 2_000,
}


@dataclass(frozen=True, slots=True)
class PurchaseRules:
    """The engine's own rules; money in whole micros of whichever currency.

    `least_micros` is what is bought at once at least, in a currency that `least_micros_of` does
    not have. `max_balance_micros` is what a balance may be after a purchase unless a tenant has a
    limit of its own; None is no limit. A lot lives for its `lot_life`. `counting` is how the
    provider counts that charges are asked of.
    """

    least_micros: int = 20 * MICROS_PER_UNIT
    max_balance_micros: int | None = None
    lot_life: LotLife = field(default_factory=LotLife)
    least_micros_of: Mapping[str, int] = field(default_factory=dict)
    counting: Counting = ISO_4217

    def least(self, currency: str) -> int:
        """Say what is bought at once at least, in micros."""
        return self.least_micros_of.get(currency, self.least_micros)

    def purchase_micros(self, gap_micros: int, currency: str) -> int:
        """Say how much to buy to close a gap: what may be bought and charged, rounded up."""
        wanted = max(gap_micros, self.least(currency), self.counting.least_micros(currency))
        step = self.counting.step_micros(currency)
        return -(-wanted // step) * step  # Rounds up.

    def most_balance(self, funding: FundingRow) -> int:
        """Say what a balance may be after a purchase, in micros; at most what a ledger holds."""
        limits = (funding.max_balance_micros, self.max_balance_micros)
        return next((limit for limit in limits if limit is not None), MAX_WHOLE_NUMBER)


def require_purchase(
    funding: FundingRow,
    micros: int,
    balance_micros: int,
    *,
    currency: str,
    rules: PurchaseRules,
) -> None:
    """Refuse a purchase that a rule forbids. Raises `FundingRefused`.

    `balance_micros` counts what is pending as well.
    """
    require_admitted(funding)
    least = rules.least(currency)
    if micros < least:
        raise FundingRefused(
            Why.BELOW_MINIMUM,
            f"At least {written(least, currency)} {currency} are bought at once.",
            {"minimum_micros": str(least)},
        )
    require_below_most(funding, micros, balance_micros, currency=currency, rules=rules)


def require_admitted(funding: FundingRow) -> None:
    """Refuse money for a tenant that takes none in. Raises `FundingRefused`."""
    if funding.closed:
        raise FundingRefused(Why.ACCOUNT_CLOSED, "The account is closed; nothing comes in.")
    if funding.region_differs:
        raise FundingRefused(
            Why.REGION_MISMATCH,
            f"The organisation is in {funding.country} and its billing address in "
            f"{funding.billing_country}. Mend the address, or let an operator record an override.",
            {"country": funding.country, "billing_country": funding.billing_country},
        )


def require_below_most(
    funding: FundingRow,
    micros: int,
    balance_micros: int,
    *,
    currency: str,
    rules: PurchaseRules,
) -> None:
    """Refuse what would make a balance larger than it may be. Raises `FundingRefused`."""
    most = rules.most_balance(funding)
    if balance_micros + micros > most:
        raise FundingRefused(
            Why.MAX_BALANCE,
            f"The balance would be {written(balance_micros + micros, currency)} {currency}; at "
            f"most {written(most, currency)} is allowed.",
            {"max_balance_micros": str(most), "balance_micros": str(balance_micros)},
        )
