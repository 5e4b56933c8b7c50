"""The audit trail is told in words of JSON, whole numbers whole."""

from __future__ import annotations

from callgate.command.audit import _text
from callgate.v1.access_pb2 import AuditEntry


def test_what_changed_is_told_as_json_has_it() -> None:
    entry = AuditEntry(identity_id="olga", action="UpdateFunding", resource="tenants/contoso")
    entry.before.update({"amount_micros": 20_000_000, "on": True, "names": ["a"], "note": ""})
    entry.after.update({"amount_micros": 50_000_000, "on": False, "names": [], "note": "why"})

    lines = [line.strip() for line in _text(entry).splitlines()[1:]]

    assert lines == [
        "amount_micros: 20000000 -> 50000000",
        'names: ["a"] -> []',
        'note: "" -> why',
        "on: true -> false",
    ]
