"""From a notice to what is read: its fields in a language, its text, its HTML."""

from __future__ import annotations

import hashlib
import hmac
import html
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from string import Formatter

import msgspec

from policy.unseen import CONTROLS
from server.notices.outbox import Facts, NoticeKind
from server.notices.wording import DEFAULT_LANGUAGE, LANGUAGES, Language
from server.notices.wording.language import Wording
from server.transport.http import WebhookKey


def event_body(told: Told) -> bytes:
    """Write the event as JSON: facts as they are, whole numbers with their unit in the name."""
    time = datetime.fromtimestamp(told.time_ms / 1_000, UTC)
    event = {
        "id": told.notice_id,
        "type": told.kind.value,
        "tenant_id": told.tenant_id,
        "timestamp": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": dict(told.facts),
    }
    return msgspec.json.encode(event)


def tenant_key(master: bytes, tenant_id: str) -> WebhookKey:
    """Derive the key of a tenant: what one tenant knows is of no use against another."""
    return WebhookKey(hmac.digest(master, b"webhook " + tenant_id.encode(), hashlib.sha256))


MAX_FIELD_CHARACTERS = 200
MAX_SUBJECT_CHARACTERS = 150
# Of the text; HTML wraps by itself.
LINE_CHARACTERS = 76
# Also what turns the direction of writing round, or breaks a line where nobody sees it.
_INVISIBLE = re.compile(f"[{CONTROLS}]+")
_UNITS = ("_micros", "_ms", "_seconds")


@dataclass(frozen=True, slots=True)
class Told:
    """One notice, and for whom it is written."""

    notice_id: str
    kind: NoticeKind
    tenant_id: str
    time_ms: int
    facts: Facts
    language: str = DEFAULT_LANGUAGE
    time_zone: str = "UTC"
    target: str = ""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a person reads."""

    language: str
    subject: str
    text: str
    html: str


def render(told: Told) -> Rendered:
    """Write a notice in the language of its tenant."""
    language = LANGUAGES.get(told.language, LANGUAGES[DEFAULT_LANGUAGE])
    wording, fields = _wording(told, language), _fields(told, language)
    paragraphs = [_fill(paragraph, fields) for paragraph in wording.paragraphs]
    rows = [(label, fields[name]) for label, name in wording.rows if fields.get(name)]
    footer = _fill(language.footer, fields)
    return Rendered(
        language=language.code,
        subject=_fill(wording.subject, fields)[:MAX_SUBJECT_CHARACTERS],
        text=_text(paragraphs, rows, footer),
        html=_html(language, paragraphs, rows, footer=footer),
    )


def clean(value: object) -> str:
    """Make one line of what others wrote: nothing invisible, and not too long."""
    return _INVISIBLE.sub(" ", str(value)).strip()[:MAX_FIELD_CHARACTERS]


def _wording(told: Told, language: Language) -> Wording:
    if told.kind is NoticeKind.BALANCE_ZERO and told.facts.get("post_paid_follows"):
        return language.wordings["balance_zero_post_paid"]
    return language.wordings[told.kind.value]


def _fields(told: Told, language: Language) -> dict[str, str]:
    """Write each fact by the unit at the end of its name, which is left out of the field's."""
    fields = {
        "tenant": clean(told.tenant_id),
        "time": language.moment(told.time_ms, told.time_zone),
        "notice_id": told.notice_id,
        "target": clean(told.target),
    }
    for name, value in told.facts.items():
        unit = next((unit for unit in _UNITS if name.endswith(unit)), "")
        fields[name.removesuffix(unit)] = _field(told, language, unit, value=value)
    fields["reason"] = _worded(language.reasons, told.facts.get("reason"))
    fields["counter"] = _worded(language.counters, told.facts.get("counter"))
    return fields


def _field(told: Told, language: Language, unit: str, *, value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        return clean(value)
    match unit:
        case "_micros":
            return language.money(value, clean(told.facts.get("currency", "")))
        case "_ms":
            return language.moment(value, told.time_zone) if value else ""
        case "_seconds":
            return language.minutes(value)
        case _:
            return str(value)


def _worded(words: Mapping[str, str], code: object) -> str:
    text = clean(code or "")
    return words.get(text.lower(), text)


def _fill(text: str, fields: Mapping[str, str]) -> str:
    """Put fields into a sentence; what a field holds is never read as a sentence again."""
    parts = Formatter().parse(text)
    return "".join(
        literal + (fields.get(name, "") if name is not None else "")
        for literal, name, _, _ in parts
    )


def _text(paragraphs: list[str], rows: list[tuple[str, str]], footer: str) -> str:
    width = max((len(label) for label, _ in rows), default=0) + 2
    table = "\n".join(f"{label + ':':<{width}}{value}" for label, value in rows)
    wrapped = [
        textwrap.fill(paragraph, LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False)
        for paragraph in paragraphs
    ]
    return "\n\n".join([*wrapped, table, f"-- \n{footer}"]) + "\n"


def _html(
    language: Language, paragraphs: list[str], rows: list[tuple[str, str]], *, footer: str
) -> str:
    body = "".join(f"<p>{html.escape(paragraph)}</p>\n" for paragraph in paragraphs)
    table = "".join(
        f'<tr><th align="left">{html.escape(label)}</th><td>{html.escape(value)}</td></tr>\n'
        for label, value in rows
    )
    return (
        f'<!doctype html>\n<html lang="{language.code}">\n<meta charset="utf-8">\n'
        f'<body style="font-family: sans-serif">\n{body}'
        f'<table cellpadding="4">\n{table}</table>\n'
        f"<p><small>{html.escape(footer)}</small></p>\n</body>\n</html>\n"
    )
