"""Rows of decision cases: read from TOML, turned into facts and a call.

A row names its case (`number`, and `row` where a case has several), whether documents state it, it
follows from them, or they are silent (`basis`: doc, derived, choice), and what is told of it:

- `tenant`, `users`, `accounts`, `service_numbers`: changes to what the builders of `facts.py` make;
  `licences` are names with blanks between, `count` makes many of a user.
- `balance`, `balance_expires`, `used` (minutes by "pool/counter" or "pool/counter@month"),
  `earlier` (calls placed before; `talked` settles one), `store` ("cold", "away"), `at`.
- `call`: `kind`, `by` (the accounts), `to`, `from`, `seconds`, ...; or `price`, for rating alone.
- `expect`: any of the words in which `case_play.py` describes an answer.
- `later`: the capability a row waits for. `tables = "synthetic"`: only with the tests' prices.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import facts
from policy.dial_plan import compile_rule
from policy.facts import (
    Call,
    CallKind,
    ConferenceScope,
    Connectivity,
    Facts,
    FundingModel,
    PstnScope,
    ResourceAccount,
    Restriction,
    ServiceNumber,
    UnknownOrigin,
    User,
)

CASES_FOLDER = Path(__file__).parent.parent / "cases"
MICROS = 1_000_000
MS_PER_SECOND = 1_000
NEVER_MS = 2**52


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One row of the tables. `later` names the capability it waits for; then nothing is played."""

    number: str
    row: str
    title: str
    basis: str
    later: str
    file: str
    content: Mapping[str, Any]

    @property
    def row_id(self) -> str:
        """Name the row: "5b", or the name of an extra one."""
        return self.row if self.number == "extra" else f"{self.number}{self.row}"


def read_rows(folder: Path = CASES_FOLDER) -> tuple[CaseRow, ...]:
    """Read every row of every table, in the order of files and rows."""
    return tuple(row for path in sorted(folder.glob("*.toml")) for row in _read_file(path))


def facts_of(row: CaseRow) -> Facts:
    """Build the facts of a row."""
    content = row.content
    accounts: list[User | ResourceAccount | ServiceNumber] = []
    for user in content.get("users", ()):
        accounts += _users(user)
    accounts += [_resource_account(account) for account in content.get("accounts", ())]
    accounts += [facts.a_service_number(**number) for number in content.get("service_numbers", ())]
    return facts.some_facts(*accounts, **_tenant_changes(content.get("tenant", {})))


def call_of(question: Mapping[str, Any]) -> Call:
    """Build the call of a row, or one of its earlier calls."""
    by = question.get("by", ())
    return Call(
        kind=CallKind(question["kind"]),
        tenant_id="contoso",
        called_number=question["to"],
        calling_number=question.get("from", ""),
        account_ids=(by,) if isinstance(by, str) else tuple(by),
        service_number=question["to"] if question["kind"] == "service_number" else "",
        location=question.get("location", ""),
        requested_seconds=question.get("seconds", 60),
        emergency_callback=question.get("emergency_callback", False),
    )


def now_ms_of(row: CaseRow) -> int:
    """Say when the call of a row is asked for."""
    at = row.content.get("at")
    return facts.NOW_MS if at is None else to_ms(at)


def to_ms(instant: datetime) -> int:
    """Count an instant in milliseconds since 1970, UTC."""
    return int(instant.astimezone(UTC).timestamp()) * MS_PER_SECOND


def to_micros(money: str) -> int:
    """Read an amount such as "0.10"."""
    whole, _, cents = money.partition(".")
    return int(whole) * MICROS + int(cents.ljust(6, "0"))


def to_money(micros: int) -> str:
    """Write an amount with two decimals, as rows do."""
    return f"{micros // MICROS}.{micros % MICROS // 10_000:02d}"


def _read_file(path: Path) -> Iterator[CaseRow]:
    with path.open("rb") as file:
        content = tomllib.load(file)
    for case in content["case"]:
        yield CaseRow(
            number=case["number"],
            row=case.get("row", ""),
            title=case["title"],
            basis=case.get("basis", ""),
            later=case.get("later", ""),
            file=path.name,
            content=case,
        )


def _users(given: Mapping[str, Any]) -> list[User]:
    changes = _account_changes(given)
    count, user_id = changes.pop("count", 1), changes.pop("id")
    licences, location = changes.pop("licences", "").split(), changes.pop("location", "US")
    if "connectivity" in changes:
        changes["connectivity"] = Connectivity(changes["connectivity"])
    names = [user_id] if count == 1 else [f"{user_id}-{place}" for place in range(count)]
    return [facts.a_user(name, *licences, location=location, **changes) for name in names]


def _resource_account(given: Mapping[str, Any]) -> ResourceAccount:
    changes = _account_changes(given)
    account_id, licences = changes.pop("id"), changes.pop("licences", "").split()
    return facts.a_resource_account(account_id, *licences, **changes)


def _account_changes(given: Mapping[str, Any]) -> dict[str, Any]:
    changes = dict(given)
    _take_restriction(changes, "Own")
    return changes


def _take_restriction(changes: dict[str, Any], identity: str) -> None:
    """Turn `conference_scope` and `pstn_scope` into a restriction, where either is given."""
    conference, pstn = changes.pop("conference_scope", None), changes.pop("pstn_scope", None)
    if conference or pstn:
        changes["restriction"] = Restriction(
            identity,
            ConferenceScope(conference or "any"),
            PstnScope(pstn or "international"),
        )


def _tenant_changes(given: Mapping[str, Any]) -> dict[str, Any]:
    changes = dict(given)
    _take_restriction(changes, "Global")
    readers: dict[str, Callable[[Any], Any]] = {
        "funding_model": FundingModel,
        "unknown_origin": UnknownOrigin,
        "blocked_prefixes": tuple,
        "blocked_callers": lambda expressions: facts.patterns(*expressions),
        "exempt_callers": lambda expressions: facts.patterns(*expressions),
        "dial_plan": lambda rules: tuple(compile_rule(**rule) for rule in rules),
    }
    for name, reader in readers.items():
        if name in changes:
            changes[name] = reader(changes[name])
    return changes
