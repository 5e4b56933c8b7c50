"""Money as providers count it: whole units of theirs, which are not always ISO 4217's.

One table says what a provider counts in, and the least and the most that it takes of a currency;
whoever asks it, believes it or lets somebody set an amount that it is to take goes by that table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policy.money import MICROS_PER_UNIT, decimals_of, written


@dataclass(frozen=True, slots=True)
class Counting:
    """How one provider counts, by currency; what is not listed is as ISO 4217 has it.

    `steps`, `least_units` and `most_units_of` are in the provider's units; `most_units` counts for
    every currency that has no most of its own, 0 for no limit.
    """

    decimals: Mapping[str, int] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)
    least_units: Mapping[str, int] = field(default_factory=dict)
    most_units_of: Mapping[str, int] = field(default_factory=dict)
    most_units: int = 0

    def micros(self, units: int, currency: str) -> int:
        """Count a provider's units in micros."""
        return units * self._unit_micros(currency)

    def units(self, micros: int, currency: str) -> int:
        """Count an amount in a provider's units. It has to be payable."""
        assert not self.objection(micros, currency), f"{micros} micros of {currency}"
        return micros // self._unit_micros(currency)

    def objection(self, micros: int, currency: str) -> str:
        """Say which amounts can be taken instead, if this one cannot; empty if it can."""
        step = self.step_micros(currency)
        if micros <= 0 or micros % step:
            return f"a multiple of {written(step, currency)} {currency}"
        least = self.least_micros(currency)
        if micros < least:
            return f"at least {written(least, currency)} {currency}, which is the provider's least"
        most = self.most_micros(currency)
        if most is not None and micros > most:
            return f"at most {written(most, currency)} {currency}, which is the provider's most"
        return ""

    def step_micros(self, currency: str) -> int:
        """Say of what every amount has to be a multiple."""
        return self.steps.get(currency, 1) * self._unit_micros(currency)

    def least_micros(self, currency: str) -> int:
        """Say what a provider takes at least."""
        return max(1, self.least_units.get(currency, 1)) * self._unit_micros(currency)

    def most_micros(self, currency: str) -> int | None:
        """Say what a provider takes at once at most; None where it has no limit."""
        most = self.most_units_of.get(currency, self.most_units)
        return self.micros(most, currency) if most else None

    def _unit_micros(self, currency: str) -> int:
        decimals = self.decimals.get(currency)
        return MICROS_PER_UNIT // int(
            10 ** (decimals_of(currency) if decimals is None else decimals)
        )


ISO_4217 = Counting()
# As docs.stripe.com/currencies has it: ISK and UGX kept the two decimals they used to have, which
# have to be 0; the ariary has none; of three decimals the last one has to be 0.
STRIPE = Counting(
    decimals={"ISK": 2, "UGX": 2, "MGA": 0},
    steps={"ISK": 100, "UGX": 100}
    | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 10),
    least_units={
        "AED": 200,
        "AUD": 50,
        "BGN": 100,
        "BRL": 50,
        "CAD": 50,
        "CHF": 50,
        "CZK": 1_500,
        "DKK": 250,
        "EUR": 50,
        "GBP": 30,
        "HKD": 400,
        "HUF": 17_500,
        "INR": 50,
        "JPY": 50,
        "MXN": 1_000,
        "MYR": 200,
        "NOK": 300,
        "NZD": 50,
        "PLN": 200,
        "RON": 200,
        "SEK": 300,
        "SGD": 50,
        "THB": 1_000,
        "USD": 50,
    },
    most_units_of={"IDR": 999_999_999_999},
    most_units=99_999_999,
)
