"""Settings read from one file and the environment, checked together."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from server.settings import (
    ENVIRONMENT_PREFIX,
    FILE_VARIABLE,
    FinalAction,
    Settings,
    _annotated,
    money,
)
from server.settings.kinds import Kind, Misread
from server.transport.http.listener import Address

# The others are those of the command line and of tests; a shell may hold all of them.
_NO_SETTINGS = frozenset(
    {
        FILE_VARIABLE,
        *("CALLGATE_ADDRESS", "CALLGATE_CA", "CALLGATE_CERT", "CALLGATE_KEY", "CALLGATE_TOKEN"),
        "CALLGATE_ENGINE",
    }
)


class SettingsWrong(Exception):
    """The settings cannot be used; `mistakes` are all of them, each with what would be right."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def load_settings(file: Path | None, environment: Mapping[str, str]) -> Settings:
    """Read the file, if any, and the environment over it. Raises `SettingsWrong`."""
    mistakes: list[str] = []
    known = {name: kind for name, kind, _ in _annotated()}
    found = _from_file(file, known, mistakes) + _from_environment(environment, known, mistakes)
    values: dict[str, Any] = {}
    for name, origin, value in found:
        kind = known[name]
        try:
            values[name] = kind.read(value)
        except Misread as misread:
            mistakes.append(f"{origin}: {misread}")
        except (ValueError, TypeError):
            shown = "the given value" if kind.is_secret else repr(value)
            mistakes.append(f"{origin}: {shown} is not {kind.takes}")
    # What was wrong stands at its default here, so that contradictions are told as well.
    settings = Settings(**values)
    mistakes.extend(_contradictions(settings))
    if mistakes:
        raise SettingsWrong(mistakes)
    return settings


_Found = list[tuple[str, str, object]]


def _from_file(file: Path | None, known: Mapping[str, Kind[Any]], mistakes: list[str]) -> _Found:
    if file is None:
        return []
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        mistakes.append(f"{file}: cannot be read: {error}")
        return []
    unknown = [name for name in table if name not in known]
    mistakes.extend(f"{file}: {name} is no setting{_nearest(name, known)}" for name in unknown)
    return [(name, f"{file}: {name}", table[name]) for name in table if name in known]


def _from_environment(
    environment: Mapping[str, str], known: Mapping[str, Kind[Any]], mistakes: list[str]
) -> _Found:
    names = {f"{ENVIRONMENT_PREFIX}{name.upper()}": name for name in known}
    ours = sorted(name for name in environment if name.startswith(ENVIRONMENT_PREFIX))
    unknown = [name for name in ours if name not in names and name not in _NO_SETTINGS]
    mistakes.extend(f"{name} is no setting{_nearest(name, names)}" for name in unknown)
    return [(names[name], name, environment[name]) for name in ours if name in names]


def _contradictions(settings: Settings) -> Iterator[str]:
    for name in ("listen", "http_listen", "keeper_http_listen"):
        where: Address | None = getattr(settings, name)
        if where is None or where.is_loopback or settings.insecure_listen:
            continue
        missing = _missing_for_strangers(settings) if name == "listen" else "HTTP asks nobody"
        if missing:
            yield (
                f"{name}: {where} can be reached from other machines and {missing}; listen on "
                "127.0.0.1, or set insecure_listen = true if something else keeps strangers out"
            )
    yield from _contradictions_of_tls(settings)
    yield from _contradictions_of_payments(settings)
    if settings.final_action is FinalAction.REDIRECT and not settings.redirect_to:
        yield 'redirect_to: is needed with final_action = "redirect"; name an announcement'
    if settings.smtp_url is not None and not settings.smtp_from:
        yield "smtp_from: is needed with smtp_url; give the address that notices come from"


def _contradictions_of_payments(settings: Settings) -> Iterator[str]:
    needed = {
        money.Provider.BILLING: ("payments_url", "payments_key"),
        money.Provider.STRIPE: ("stripe_api_key", "stripe_webhook_secret"),
    }
    for name in needed.get(settings.payments, ()):
        if not getattr(settings, name):
            yield f'{name}: is needed with payments = "{settings.payments}"'


def _missing_for_strangers(settings: Settings) -> str:
    if settings.tls_certificate is None:
        return "there is no TLS (tls_certificate, tls_key)"
    return "" if settings.identities else "nobody is asked for an identity (identities)"


def _contradictions_of_tls(settings: Settings) -> Iterator[str]:
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        yield "tls_certificate, tls_key: one is of no use without the other"
    if settings.http_tls and settings.tls_certificate is None:
        yield "http_tls: needs tls_certificate and tls_key"
    if settings.tls_client_ca is not None and settings.tls_certificate is None:
        yield "tls_client_ca: needs tls_certificate and tls_key"


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else "; docs/settings.md lists them all"
