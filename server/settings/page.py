"""The page `docs/settings.md`, made from the settings themselves: `python -m server settings`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from policy.reasons import Reason
from server.settings import FILE_VARIABLE, Described, described_settings
from server.transport.http.listener import Address

_OPENING = f"""\
# Settings

`python -m server --settings FILE` (or `{FILE_VARIABLE}=FILE`) reads a TOML file of the names below;
an environment variable goes over the file. An unknown name or a wrong value ends the start, and all
of them are told at once. Settings are read at the start alone; the facts they point to (catalogue
and directory) are read again on SIGHUP and when their files change.

This page is made by `python -m server settings`.

| setting | variable | default | takes | meaning |
|---|---|---|---|---|
"""

_SUGGESTIONS = """
## What a refusal suggests

`suggestions` changes single rows of this table. A status is 4xx: a proxy would try 5xx elsewhere,
and 6xx ends other branches of the call. The cause travels as `Reason: Q.850;cause=21`.

| reason | SIP status | Q.850 cause |
|---|---|---|
"""


def settings_page() -> str:
    """Write the page."""
    return _OPENING + "".join(_rows()) + _SUGGESTIONS + "".join(_suggestion_rows())


def _rows() -> Iterator[str]:
    for setting in described_settings():
        cells = (
            f"`{setting.name}`",
            f"`{setting.variable}`",
            f"`{_shown(setting)}`",
            setting.kind.takes,
            setting.about,
        )
        yield f"| {' | '.join(cells)} |\n"


def _suggestion_rows() -> Iterator[str]:
    for reason in Reason:
        told = reason.suggestion
        yield f"| `{reason.name}` | {told.sip_status} | {told.q850_cause} |\n"


def _shown(setting: Described) -> str:
    """Write a default as the file would state it."""
    match setting.default:
        case bool(yes):
            return "true" if yes else "false"
        case int(number):
            return str(number)
        case None:
            return '""'
        case Address() | Path() | str():
            return f'"{setting.default}"'
        case Mapping():
            return "{}"
        case _:
            return "[]"
