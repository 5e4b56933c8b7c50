"""The file of identities: TOML, hashes only."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

from server.access.identities import Identity, KnownToken, doubles
from server.access.roles import Role
from server.facts.files.problems import Problems
from server.facts.files.section import read_section
from server.facts.files.table import read_text
from server.facts.files.toml_lines import line_of, parse_toml

IDENTITY_ID = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
_IDENTITY_WORDS = "1 to 64 letters, digits and any of . _ @ + -"
MAX_IDENTITIES = 10_000
_MS = 1_000

KeyPath = tuple[str | int, ...]

TenantId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[a-z0-9._-]{1,64}\Z",
        description='"all", or a list of tenants, each 1 to 64 of a-z, 0-9, ".", "_", "-"',
    ),
]
# An empty list may touch nothing, which is never what was meant.
Tenants = Annotated[list[TenantId], msgspec.Meta(min_length=1, max_length=10_000)]
Roles = Annotated[
    list[Role],
    msgspec.Meta(
        min_length=1, description=f"a list of {', '.join(repr(str(one)) for one in Role)}"
    ),
]
Names = Annotated[
    list[Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,255}\Z")]],
    msgspec.Meta(max_length=100, description="names in certificates, of printable ASCII"),
]
Digest = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[0-9a-f]{64}\Z", description="64 hexadecimal digits in lower case, a SHA-256"
    ),
]


class TokenSection(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One token of an identity."""

    sha256: Digest
    expire_time: dt.datetime | None = None


class IdentitySection(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One identity."""

    roles: Roles
    tenants: str | Tenants
    certificate_names: Names = []
    tokens: list[dict[str, Any]] = []


@dataclass(slots=True)
class _File:
    path: Path
    problems: Problems
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def note(self, at: KeyPath, text: str) -> None:
        name = ".".join(f'"{part}"' if "." in str(part) else str(part) for part in at)
        self.problems.add(self.path, line_of(self.lines, at), name, text)


def read_identities(path: Path) -> list[Identity]:
    """Read a whole file. Raises `InvalidFacts`, whose text is every mistake, a line each."""
    file = _File(path, Problems())
    found = list(_read(file))
    for identity_id, text in doubles(found):
        file.note(("identities", identity_id), text)
    file.problems.raise_if_any()
    return found


def _read(file: _File) -> Iterator[Identity]:
    text = read_text(file.path, file.problems)
    found = None if text is None else parse_toml(file.path, text, file.problems)
    if found is None:
        return
    values, file.lines = found
    sections = values.pop("identities", {})
    for name in values:
        file.note((name,), "is not a table here; write [identities.NAME] for each")
    if not isinstance(sections, dict) or len(sections) > MAX_IDENTITIES:
        file.note(("identities",), f"is no table of at most {MAX_IDENTITIES} identities")
        return
    for name, section in sections.items():
        identity = _read_one(file, name, section)
        if identity is not None:
            yield identity


def _read_one(file: _File, name: str, values: Any) -> Identity | None:
    at = ("identities", name)
    if not IDENTITY_ID.fullmatch(name):
        file.note(at, f"is no name; give {_IDENTITY_WORDS}")
    if not isinstance(values, dict):
        file.note(at, "is no table; write [identities.NAME]")
        return None
    section = read_section(values, IdentitySection, lambda key, told: file.note((*at, key), told))
    if section is None:
        return None
    if isinstance(section.tenants, str) and section.tenants != "all":
        file.note((*at, "tenants"), f'is {section.tenants!r}; give "all", or a list of tenants')
    tokens = [
        _read_token(file, (*at, "tokens", place), one) for place, one in enumerate(section.tokens)
    ]
    return Identity(
        name,
        frozenset(section.roles),
        None if isinstance(section.tenants, str) else frozenset(section.tenants),
        tuple(section.certificate_names),
        tuple(token for token in tokens if token is not None),
    )


def _read_token(file: _File, at: KeyPath, values: dict[str, Any]) -> KnownToken | None:
    token = read_section(values, TokenSection, lambda key, told: file.note((*at, key), told))
    if token is None:
        return None
    if token.expire_time is None:
        return KnownToken(token.sha256)
    if token.expire_time.tzinfo is None:
        file.note((*at, "expire_time"), 'has no offset; end it with "Z" for UTC')
        return None
    return KnownToken(token.sha256, int(token.expire_time.timestamp() * _MS))
