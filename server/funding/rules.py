"""What a purchase of credits has to keep to, whoever pays it: by hand or by auto-recharge."""

from __future__ import annotations

from dataclasses import dataclass

from server.archive import FundingRow
from server.funding.trouble import FundingRefused, Why

MICROS_PER_UNIT = 1_000_000


@dataclass(frozen=True, slots=True)
class PurchaseRules:
    """The engine's own rules; money in whole micros of whichever currency.

    `max_balance_micros` is what a balance may be after a purchase unless a tenant has a limit of
    its own; None is no limit. A lot lives for `lot_days`.
    """

    least_micros: int = 20 * MICROS_PER_UNIT
    max_balance_micros: int | None = None
    lot_days: int = 365


def require_purchase(
    funding: FundingRow, micros: int, balance_micros: int, *, rules: PurchaseRules
) -> None:
    """Refuse a purchase that a rule forbids. Raises `FundingRefused`.

    `balance_micros` counts what is pending as well.
    """
    if funding.closed:
        raise FundingRefused(Why.ACCOUNT_CLOSED, "The account is closed; nothing comes in.")
    if funding.region_differs:
        raise FundingRefused(
            Why.REGION_MISMATCH,
            f"The organisation is in {funding.country} and its billing address in "
            f"{funding.billing_country}. Mend the address, or let an operator record an override.",
            {"country": funding.country, "billing_country": funding.billing_country},
        )
    if micros < rules.least_micros:
        raise FundingRefused(
            Why.BELOW_MINIMUM,
            f"At least {_units(rules.least_micros)} are bought at once.",
            {"minimum_micros": str(rules.least_micros)},
        )
    most = rules.max_balance_micros
    if funding.max_balance_micros is not None:
        most = funding.max_balance_micros
    if most is not None and balance_micros + micros > most:
        raise FundingRefused(
            Why.MAX_BALANCE,
            f"The balance would be {_units(balance_micros + micros)}; at most {_units(most)} is "
            "allowed.",
            {"max_balance_micros": str(most), "balance_micros": str(balance_micros)},
        )


def closing_charge_micros(balance_micros: int, trigger_micros: int, amount_micros: int) -> int:
    """Say how much one recharge takes: whole amounts, as many as lift the balance to the trigger.

    One amount closes an ordinary gap. A balance far below, overdrawn say, takes several in one
    charge, so that no second one has to follow at once.
    """
    gap_micros = trigger_micros - balance_micros
    return max(1, -(-gap_micros // amount_micros)) * amount_micros


def _units(micros: int) -> str:
    whole, rest = divmod(abs(micros), MICROS_PER_UNIT)
    sign = "-" if micros < 0 else ""
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{decimals}"
