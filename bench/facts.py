"""Facts to measure with: generated tenants and users, and a catalogue of so many prefixes."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SAMPLE_CATALOGUE = Path("data/catalogue")
TENANTS = 100
USERS = 10_000
OPENING_BALANCE = "90000000.00"

# What a user holds, by the last digit of the user's number: eight in ten are admitted.
POOL, CREDITS, WITHOUT, HOME_ONLY = "pool", "credits", "without", "home_only"
PROFILES = (POOL,) * 5 + (CREDITS,) * 3 + (WITHOUT, HOME_ONLY)
_LICENCES = {
    POOL: ("MCOEV", "MCOPSTN1", "MCOPSTNPP"),
    CREDITS: ("MCOEV", "{pay_as_you_go}", "MCOPSTNPP"),
    WITHOUT: (),
    HOME_ONLY: ("MCOEV", "MCOPSTN1", "MCOPSTNPP"),
}
_RESTRICTIONS = {HOME_ONLY: "DialoutCPCandPSTNDomestic"}
COUNTRIES = ("US", "IT", "GB", "DE")
_PAY_AS_YOU_GO = {
    "US": "MCOPSTN_PAYG_1",
    "IT": "MCOPSTN_PAYG_2",
    "GB": "MCOPSTN_PAYG_1",
    "DE": "MCOPSTN_PAYG_2",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """How many tenants there are, and users in all of them."""

    tenants: int = TENANTS
    users: int = USERS

    @property
    def users_per_tenant(self) -> int:
        """How many users each tenant has."""
        return self.users // self.tenants


def tenant_id(tenant: int) -> str:
    """Name a tenant; all names are of one length."""
    return f"tenant-{tenant:03d}"


def user_id(tenant: int, user: int) -> str:
    """Name a user of a tenant; all names are of one length."""
    return f"user-{tenant:03d}-{user:06d}"


def profile_of(user: int) -> str:
    """Say what a user holds."""
    return PROFILES[user % len(PROFILES)]


def country_of(tenant: int) -> str:
    """Say where a tenant and its users are."""
    return COUNTRIES[tenant % len(COUNTRIES)]


def write_directory(folder: Path, shape: Shape) -> Path:
    """Write one file for each tenant; return the folder."""
    folder.mkdir(parents=True)
    for tenant in range(shape.tenants):
        lines = [*_tenant_lines(tenant), *_user_lines(tenant, shape.users_per_tenant)]
        text = "\n".join(lines) + "\n"
        (folder / f"{tenant_id(tenant)}.toml").write_text(text, encoding="utf-8")
    return folder


def write_catalogue(folder: Path, prefixes: int) -> Path:
    """Copy the sample catalogue with more prefixes, or with fewer; return the folder."""
    shutil.copytree(SAMPLE_CATALOGUE, folder)
    path = folder / "prefixes.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    at = 1 + next(number for number, line in enumerate(lines) if not line.startswith("#"))
    rows = lines[at:]
    # The short ones say most, and keep what rates and rules name.
    rows.sort(key=lambda row: (len(row.partition(",")[0]), row))
    grown = itertools.chain(rows, _longer(rows))
    path.write_text("\n".join([*lines[:at], *itertools.islice(grown, prefixes)]) + "\n")
    return folder


def _tenant_lines(tenant: int) -> list[str]:
    return [
        f'id = "{tenant_id(tenant)}"',
        f'country = "{country_of(tenant)}"',
        'currency = "USD"',
        'funding_model = "prepaid"',
        f'opening_balance = "{OPENING_BALANCE}"',
    ]


def _user_lines(tenant: int, users: int) -> Iterator[str]:
    for user in range(users):
        profile = profile_of(user)
        licences = ", ".join(f'"{name}"' for name in _LICENCES[profile])
        licences = licences.format(pay_as_you_go=_PAY_AS_YOU_GO[country_of(tenant)])
        yield f"[users.{user_id(tenant, user)}]"
        yield f'usage_location = "{country_of(tenant)}"'
        yield f"licences = [{licences}]"
        if profile in _RESTRICTIONS:
            yield f'restriction = "{_RESTRICTIONS[profile]}"'


def _longer(rows: list[str]) -> Iterator[str]:
    """Make longer prefixes of those that are there: they lead to the same place."""
    known = {row.partition(",")[0] for row in rows}
    for digits in (2, 3):
        for row in rows:
            prefix, _, rest = row.partition(",")
            for more in range(10**digits):
                longer = f"{prefix}{more:0{digits}d}"
                if longer not in known and len(longer) <= 12:
                    yield f"{longer},{rest}"
