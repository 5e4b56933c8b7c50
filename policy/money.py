"""Amounts of money as their currency has them: how many decimals, and the way one is written."""

from __future__ import annotations

MICROS_PER_UNIT = 1_000_000
# ISO 4217's currencies that have no minor unit, a thousandth, or a ten thousandth.
_WITHOUT_DECIMALS = frozenset(
    {
        *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"),
        *("RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"),
    }
)
_THREE_DECIMALS = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])
_FOUR_DECIMALS = frozenset(["CLF", "UYW"])


def decimals_of(currency: str) -> int:
    """Say how many decimals ISO 4217 gives a currency; two to one that it does not know."""
    if currency in _WITHOUT_DECIMALS:
        return 0
    if currency in _THREE_DECIMALS:
        return 3
    return 4 if currency in _FOUR_DECIMALS else 2


def micros_per_minor_unit(currency: str) -> int:
    """Say how much the least coin of a currency is, in micros."""
    return MICROS_PER_UNIT // int(10 ** decimals_of(currency))


def written(micros: int, currency: str) -> str:
    """Write an amount exactly, with at least its currency's decimals: "0.012", "20", "5.50"."""
    whole, rest = divmod(abs(micros), MICROS_PER_UNIT)
    decimals = f"{rest:06d}".rstrip("0").ljust(decimals_of(currency), "0")
    return f"{'-' if micros < 0 else ''}{whole}{'.' if decimals else ''}{decimals}"
