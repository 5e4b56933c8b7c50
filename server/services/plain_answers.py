"""How the plain face writes its answers: as a line, or as JSON, XML or attributes of RADIUS."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import quoteattr

from server.transport.http.exchange import Answered

# As in RFC 2865; what is longer would be cut by whoever sends it on.
_MOST_REPLY_BYTES = 253
_MOST_TEXT = 1_024
_NO = frozenset({"refused", "over"})


@dataclass(frozen=True, slots=True)
class Told:
    """One answer: a word for what it is, an HTTP status, fields without spaces, and a sentence."""

    word: str
    status: int
    fields: Mapping[str, str]
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def written(told: Told, form: str) -> Answered:
    """Write an answer in one of `FORMATS`; it is never kept by a proxy."""
    kind, write = FORMATS[form]
    clean = Told(
        told.word,
        told.status,
        {name: _clean(value).replace(" ", "%20") for name, value in told.fields.items()},
        _clean(told.text)[:_MOST_TEXT],
    )
    # A RADIUS server reads attributes of an answer that went well.
    is_read = form == "radius" and told.word in _NO
    headers = {"Content-Type": kind, "Cache-Control": "no-store", **told.headers}
    return Answered(200 if is_read else told.status, write(clean).encode(), headers)


def _clean(text: str) -> str:
    """Put a "?" for what would break the line, or is not shown."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _line(told: Told) -> str:
    fields = dict(told.fields)
    first = [fields.pop(name) for name in ("reason", "cause") if name in fields]
    if told.word == "granted":
        first.append(fields.pop("seconds"))
    named = [f"{name}={value}" for name, value in fields.items()]
    return " ".join(filter(None, [told.word, *first, *named, told.text]))


def _as_text(told: Told) -> str:
    return _line(told) + "\n"


def _as_json(told: Told) -> str:
    text = {"text": told.text} if told.text else {}
    return json.dumps({"outcome": told.word, **told.fields, **text}) + "\n"


def _as_xml(told: Told) -> str:
    fields = {"outcome": told.word, **told.fields}
    if told.text:
        fields["text"] = told.text
    return f"<answer {' '.join(f'{name}={quoteattr(fields[name])}' for name in fields)}/>\n"


def _as_radius(told: Told) -> str:
    """Write attributes as FreeRADIUS's rlm_rest reads them."""
    line = _line(told).encode()[:_MOST_REPLY_BYTES].decode(errors="ignore")
    attributes = {"reply:Reply-Message": line}
    if told.word in _NO:
        attributes["control:Auth-Type"] = "Reject"
    elif told.word == "granted" and "emergency" not in told.fields:
        attributes["control:Auth-Type"] = "Accept"
        attributes["reply:Session-Timeout"] = told.fields["seconds"]
    elif told.word == "granted":
        attributes["control:Auth-Type"] = "Accept"
    return json.dumps(attributes) + "\n"


FORMATS: Mapping[str, tuple[str, Callable[[Told], str]]] = {
    "text": ("text/plain; charset=utf-8", _as_text),
    "json": ("application/json", _as_json),
    "xml": ("application/xml; charset=utf-8", _as_xml),
    "radius": ("application/json", _as_radius),
}
