"""One tenant's file: its sections read, its mistakes noted with their lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from server.facts.directory.sections import (
    ID_PATTERN,
    ID_WORDS,
    DialPlanSection,
    FileSection,
    InboundBlockSection,
    NoticesSection,
    ResourceAccountSection,
    ServiceNumberSection,
    TenantSection,
    UserSection,
)
from server.facts.files.problems import Problems
from server.facts.files.section import read_section
from server.facts.files.table import read_text
from server.facts.files.toml_lines import line_of, parse_toml

MAX_USERS = 200_000
MAX_RESOURCE_ACCOUNTS = 10_000
MAX_SERVICE_NUMBERS = 10_000
MAX_LICENCE_NAMES = 100
MAX_COUNT = 1_000_000

Section = TypeVar("Section", bound=FileSection)
KeyPath = tuple[str | int, ...]


@dataclass(slots=True)
class TenantFile:
    """The sections of one file that could be read. `tenant` is None where the head is wrong."""

    path: Path
    problems: Problems
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    tenant: TenantSection | None = None
    users: dict[str, UserSection] = field(default_factory=dict)
    resource_accounts: dict[str, ResourceAccountSection] = field(default_factory=dict)
    service_numbers: dict[str, ServiceNumberSection] = field(default_factory=dict)
    purchased: dict[str, int] = field(default_factory=dict)
    dial_plan: list[DialPlanSection] = field(default_factory=list)
    inbound_block: InboundBlockSection | None = None
    notices: NoticesSection | None = None

    def assigned(self) -> Counter[str]:
        """Count the licences that its accounts have, by name in capitals."""
        of_users = (user.licences for user in self.users.values())
        of_accounts = (account.licences for account in self.resource_accounts.values())
        return Counter(
            name.strip().upper() for names in chain(of_users, of_accounts) for name in names
        )

    def note(self, path: KeyPath, text: str) -> None:
        """Note a mistake at a key; it is told with its line and its dotted name."""
        name = ".".join(f'"{part}"' if "." in str(part) else str(part) for part in path)
        self.problems.add(self.path, line_of(self.lines, path), name, text)


def read_tenant_file(path: Path, problems: Problems) -> TenantFile:
    """Read one file as far as it can be understood."""
    text = read_text(path, problems)
    if text is None:
        return TenantFile(path, problems)
    return read_tenant_text(path, text, problems)


def read_tenant_text(path: Path, text: str, problems: Problems) -> TenantFile:
    """Read the text of a file as far as it can be understood."""
    found = parse_toml(path, text, problems)
    if found is None:
        return TenantFile(path, problems)
    file = TenantFile(path, problems, *found)
    _read_sections(file)
    return file


def read_tenant_values(path: Path, values: Mapping[str, Any], problems: Problems) -> TenantFile:
    """Read what a file holds, or would hold; mistakes are told by `path`, without a line."""
    file = TenantFile(path, problems, dict(values))
    _read_sections(file)
    return file


def add_user(file: TenantFile, user_id: str, values: Mapping[str, Any]) -> None:
    """Read one more user, as its section of the file would be."""
    if not re.match(ID_PATTERN, user_id):
        file.note(("users", user_id), f"is no id; give {ID_WORDS}")
    found = _read(file, values, UserSection, at=("users", user_id))
    if found is not None:
        file.users[user_id] = found


def _read_sections(file: TenantFile) -> None:
    tables = {name: file.values.pop(name, None) for name in _TABLES}
    file.tenant = _read(file, file.values, TenantSection, at=())
    users = _named(file, tables["users"], "users", most=MAX_USERS)
    file.users = dict(_read_each(file, users, UserSection, at="users"))
    accounts = _named(
        file, tables["resource_accounts"], "resource_accounts", most=MAX_RESOURCE_ACCOUNTS
    )
    found = _read_each(file, accounts, ResourceAccountSection, at="resource_accounts")
    file.resource_accounts = dict(found)
    numbers = _named(file, tables["service_numbers"], "service_numbers", most=MAX_SERVICE_NUMBERS)
    file.service_numbers = dict(
        _read_each(file, numbers, ServiceNumberSection, at="service_numbers")
    )
    _read_purchased(file, tables["licences_purchased"])
    _read_dial_plan(file, tables["dial_plan"])
    if tables["inbound_block"] is not None:
        block = tables["inbound_block"]
        file.inbound_block = _read(file, block, InboundBlockSection, at=("inbound_block",))
    if tables["notices"] is not None:
        file.notices = _read(file, tables["notices"], NoticesSection, at=("notices",))


_TABLES = (
    "users",
    "resource_accounts",
    "service_numbers",
    "licences_purchased",
    "dial_plan",
    "inbound_block",
    "notices",
)


def _read(file: TenantFile, values: Any, kind: type[Section], *, at: KeyPath) -> Section | None:
    if not isinstance(values, dict):
        file.note(at, "is no table; give it a section of its own")
        return None

    def report(name: str, text: str) -> None:
        file.note((*at, name) if name else at, text)

    return read_section(values, kind, report)


def _named(file: TenantFile, values: Any, name: str, *, most: int) -> Mapping[str, Any]:
    """Return a table of tables whose names are ids, within its limit."""
    if values is None:
        return {}
    if not isinstance(values, dict):
        file.note((name,), f"is no table; write [{name}.ID] for each")
        return {}
    if len(values) > most:
        file.note((name,), f"holds {len(values)}; at most {most} are allowed")
    for key in values:
        if not re.match(ID_PATTERN, key):
            file.note((name, key), f"is no id; give {ID_WORDS}")
    return values


def _read_each(
    file: TenantFile, values: Mapping[str, Any], kind: type[Section], *, at: str
) -> Iterator[tuple[str, Section]]:
    for key, section in values.items():
        found = _read(file, section, kind, at=(at, key))
        if found is not None:
            yield key, found


def _read_purchased(file: TenantFile, values: Any) -> None:
    at = "licences_purchased"
    for name, count in _named(file, values, at, most=MAX_LICENCE_NAMES).items():
        if type(count) is int and 0 <= count <= MAX_COUNT:
            file.purchased[name] = count
        else:
            file.note((at, name), f"is {count!r}; give how many, 0 to {MAX_COUNT}")


def _read_dial_plan(file: TenantFile, values: Any) -> None:
    if values is None:
        return
    if not isinstance(values, list):
        file.note(("dial_plan",), "is no array; write [[dial_plan]] for each rule")
        return
    read = partial(_read, file, kind=DialPlanSection)
    rules = [read(rule, at=("dial_plan", place)) for place, rule in enumerate(values)]
    file.dial_plan = [rule for rule in rules if rule is not None]
