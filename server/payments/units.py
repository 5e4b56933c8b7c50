"""Money as providers count it: whole minor units of a currency, such as cents."""

from __future__ import annotations

_MICROS_PER_UNIT = 1_000_000
_TWO_DECIMALS = 2
# ISO 4217's currencies without a minor unit, and with a thousandth.
_WITHOUT_DECIMALS = frozenset(
    {
        *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW"),
        *("PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"),
    }
)
_THREE_DECIMALS = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])


def micros_per_minor_unit(currency: str) -> int:
    """Say what the least amount is that can be paid in a currency, in micros."""
    if currency in _WITHOUT_DECIMALS:
        return _MICROS_PER_UNIT
    decimals = 3 if currency in _THREE_DECIMALS else _TWO_DECIMALS
    return int(_MICROS_PER_UNIT / 10**decimals)


def is_payable(micros: int, currency: str) -> bool:
    """Say whether an amount is whole minor units."""
    return micros > 0 and micros % micros_per_minor_unit(currency) == 0


def minor_units(micros: int, currency: str) -> int:
    """Count an amount in minor units. It has to be payable."""
    assert is_payable(micros, currency), f"{micros} micros of {currency}"
    return micros // micros_per_minor_unit(currency)


def micros_of(units: int, currency: str) -> int:
    """Count minor units in micros."""
    return units * micros_per_minor_unit(currency)
