"""What the torture is done to: tenants and calls, and their money by the rates alone."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random

CATALOGUE = Path(__file__).resolve().parents[2] / "data" / "catalogue"
MICROS = 1_000_000
OPENING_MICROS = 1_000_000 * MICROS
PAID_TENANTS = tuple(f"paid-{number}" for number in range(1, 5))
POOL_TENANTS = ("pool-1", "pool-2")
TENANTS = PAID_TENANTS + POOL_TENANTS

# Numbers and the rows of the rate table that price them.
PRICED_NUMBERS = {
    "+390612345678": "3906",
    "+493012345678": "DE",
    "+431234567890": "AT",
    "+61212345678": "AU",
}
POOL_NUMBER = "+14255550123"
UNANSWERED_SHARE = 0.08
ABANDONED_SHARE = 0.05
OVER_RUN_SHARE = 0.05
LONGEST_SECONDS = 900

_TENANT = """\
id = "{tenant}"
country = "US"
currency = "USD"
funding_model = "prepaid"
opening_balance = "{opening}.00"

[users.payer]
usage_location = "US"
licences = ["MCOEV", "{plan}", "MCOPSTNPP"]
"""
_POOL_USERS = """
[users.holder-{number}]
usage_location = "US"
licences = ["MCOEV", "MCOPSTN1"]
"""
# Enough that a pool never ends: 3,000 minutes each.
_HOLDERS = 20


@dataclass(slots=True)
class PlannedCall:
    """One call, as its caller will make it. Seconds count from the answer."""

    call_id: str
    tenant_id: str
    number: str
    talk_seconds: int
    abandoned: bool
    over_run_seconds: int
    reports: Random
    # Reported last; what an abandoned call is charged for.
    reported_seconds: int = 0
    # The last question about it, and the decision it runs on.
    sequence: int = 0
    decision_id: str = ""
    gateway_id: str = ""


@dataclass(slots=True)
class Expected:
    """Money and minutes by the seconds talked and the rate table alone."""

    rates: Path
    micros: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    by_call: dict[str, int] = field(default_factory=dict)

    def add(self, call: PlannedCall, seconds: int) -> None:
        """Count what one call came to."""
        micros = 0
        if call.tenant_id in PAID_TENANTS:
            micros = price(self.rates, PRICED_NUMBERS[call.number], seconds)
        self.micros[call.tenant_id] += micros
        self.seconds[call.tenant_id] += seconds
        self.by_call[call.call_id] = micros


def price(rates: Path, row: str, seconds: int) -> int:
    """Price a call by one row of the rate table, the connection fee included."""
    if not seconds:
        return 0
    per_minute, fee, first, following = _row(rates, row)
    beyond = max(0, seconds - first)
    charged = first + (beyond + following - 1) // following * following
    return fee + -(-per_minute * charged // 60)


def _row(rates: Path, row: str) -> tuple[int, int, int, int]:
    lines = (line for line in rates.read_text().splitlines() if not line.startswith("#"))
    for found in csv.DictReader(lines):
        if found["destination"] == row and not found["number_class"]:
            first, following = found["increments"].split("/")
            per_minute, fee = Decimal(found["per_minute"]), Decimal(found["connection_fee"])
            return int(per_minute * MICROS), int(fee * MICROS), int(first), int(following)
    raise AssertionError(f"the rate table has no row {row}")


def write_tenants(folder: Path) -> None:
    """Write the directory: tenants that pay all from credits, tenants that pay all from a pool."""
    folder.mkdir(parents=True)
    for tenant in TENANTS:
        plan = "MCOPSTN_PAYG_1" if tenant in PAID_TENANTS else "MCOPSTN1"
        text = _TENANT.format(tenant=tenant, opening=OPENING_MICROS // MICROS, plan=plan)
        if tenant in POOL_TENANTS:
            text += "".join(_POOL_USERS.format(number=number) for number in range(_HOLDERS))
        (folder / f"{tenant}.toml").write_text(text)


def plan_calls(random: Random, count: int) -> list[PlannedCall]:
    """Plan calls of all kinds; one seed plans the same calls again."""
    calls = []
    for number in range(count):
        tenant = random.choice(TENANTS)
        answered = random.random() >= UNANSWERED_SHARE
        over_run = random.random() < OVER_RUN_SHARE
        calls.append(
            PlannedCall(
                call_id=f"torture-{number}@bridge",
                tenant_id=tenant,
                number=random.choice(list(PRICED_NUMBERS))
                if tenant in PAID_TENANTS
                else POOL_NUMBER,
                talk_seconds=random.randint(1, LONGEST_SECONDS) if answered else 0,
                abandoned=answered and random.random() < ABANDONED_SHARE,
                over_run_seconds=random.randint(1, 40) if over_run else 0,
                reports=Random(random.getrandbits(64)),
            )
        )
    return calls
