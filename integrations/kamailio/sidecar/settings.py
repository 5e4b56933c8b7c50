"""What an operator sets, in one TOML file; every mistake is told at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


class SettingsWrong(Exception):
    """The file cannot be used; the text tells every mistake."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a sidecar.

    Attributes:
        engine: Where callgate listens, "host:port" or "unix:/path".
        evapi: Where the proxy's evapi module listens.
        gateway_id: The name of the proxy; one sidecar each.
        state_folder: What outlives the sidecar: emergency numbers, undelivered reports.
        deadline_seconds: How long the engine may take to decide about a call.
        tenants: The tenant of each SIP domain whose users call out.
        numbers: Whose a number is that stands alone in `tel:...`: by E.164 with "+", a SIP address
            of one of those domains.
        location: The country calls come from where the proxy says none.
        fail_open_seconds: How long a call may last that was placed because the engine did not
            answer; 0 refuses it.
        announcements: Where to connect a caller who is refused, by reason: a SIP URI.

    What shows who we are comes from the environment, as for every client: CALLGATE_TOKEN and so on.
    """

    engine: str = "127.0.0.1:50051"
    evapi: str = "127.0.0.1:8448"
    gateway_id: str = "kamailio"
    state_folder: Path = Path("/var/lib/callgate-sidecar")
    deadline_seconds: float = 1.0
    tenants: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)
    location: str = ""
    fail_open_seconds: int = 0
    announcements: Mapping[str, str] = field(default_factory=dict)


_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_TABLES = frozenset({"tenants", "announcements", "numbers"})


def read_settings(path: Path) -> Settings:
    """Read the file. Raises `SettingsWrong`."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsWrong(f"{path}: cannot be read: {error}") from error
    known = {one.name for one in fields(Settings)}
    mistakes = [f"{path}: {name} is no setting" for name in values if name not in known]
    mistakes += [
        f"{path}: {name} is {value!r}; give {wanted}"
        for name, value in values.items()
        if (wanted := _wrong(name, value))
    ]
    mistakes = mistakes or _check_numbers(path, values)
    if mistakes:
        raise SettingsWrong("\n".join(mistakes))
    if "state_folder" in values:
        values["state_folder"] = Path(values["state_folder"])
    return Settings(**values)


def _check_numbers(path: Path, values: dict[str, Any]) -> list[str]:
    """Fold domains to small letters, and say which numbers nobody of them can have."""
    tenants = {domain.lower(): one for domain, one in values.get("tenants", {}).items()}
    if tenants:
        values["tenants"] = tenants
    return [
        f"{path}: numbers: {number!r} is {address!r}; give an E.164 number with + and an address "
        'of a domain of [tenants], such as "+12065550100" = "adele@contoso.example"'
        for number, address in values.get("numbers", {}).items()
        if not _E164.fullmatch(number) or address.rpartition("@")[2].lower() not in tenants
    ]


def _wrong(name: str, value: Any) -> str:
    """Say what would be right, where a value is not."""
    if name in _TABLES:
        texts = isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
        return "" if texts else 'a table of texts, such as "example.com" = "contoso"'
    if name == "deadline_seconds":
        good = isinstance(value, int | float) and 0 < value <= 5
        return "" if good else "seconds, at most 5"
    if name == "fail_open_seconds":
        return "" if isinstance(value, int) and 0 <= value <= 86_400 else "seconds, 0 to 86400"
    return "" if isinstance(value, str) else "a text"
