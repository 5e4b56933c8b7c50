"""Reading the calls that run: one of them, or those of a tenant a page at a time."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from server.ledger import codec as wire
from server.ledger import keys
from server.ledger.answers import Answer
from server.ledger.codec import CallRecord, read_record
from server.ledger.errors import CallUnknown, LedgerDamaged
from server.ledger.requests import CallKey
from server.ledger.store_calls import named_trouble
from server.storage.redis import Store
from server.storage.redis.references import call_reference

# Names looked at in one step of the store, and steps for one page at the most: a partition holds
# the calls of many tenants, and a page may end with fewer calls than it has room for.
_NAMES_A_STEP = 500
_STEPS_A_PAGE = 20
# Records read at a time.
_READ_AT_ONCE = 32
_BEGIN = "0"
# A cursor of the store, and references that were read and did not fit the page before.
_REFERENCES = r"[\w+/]{22}(?:,[\w+/]{22})*"
_PAGE = re.compile(rf"[1-9]\d{{0,19}}:(?:{_REFERENCES})?|:{_REFERENCES}", re.ASCII)


class PageUnknown(ValueError):
    """The text does not name a page."""


@dataclass(frozen=True, slots=True)
class KnownCall:
    """A call as the ledger has it: its last answer, and the sequence that was asked."""

    call: CallKey
    sequence: int
    answer: Answer
    # What may pay it, as the ledger writes it.
    purses_text: str


@dataclass(frozen=True, slots=True)
class CallPage:
    """Some running calls; `next_page` names those after them, empty where there are no more."""

    calls: tuple[KnownCall, ...]
    next_page: str


class CallReader:
    """Reads calls. All methods raise `LedgerUnavailable` and `LedgerDamaged`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, call: CallKey) -> KnownCall:
        """Read one call, running or over. Raises `CallUnknown`."""
        reference = call_reference(call.tenant_id, call.call_id)
        found = await self._read(call.tenant_id, reference)
        if found is None or found.call != call:
            # It may be over, and its id another gateway's since.
            found = await self._read(call.tenant_id, reference, keys.other_gateway_key(call))
        if found is None or found.call != call:
            raise CallUnknown
        return found

    async def page(self, tenant_id: str, page: str, limit: int) -> CallPage:
        """Read at most `limit` running calls of a tenant. Raises `PageUnknown`.

        Every call that runs from the first page to the last is on one of them, rarely on two.
        """
        cursor, references = _read_page(page)
        steps = 0
        while len(references) < limit and cursor and steps < _STEPS_A_PAGE:
            cursor, more = await self._scan(tenant_id, cursor)
            references += more
            steps += 1
        found: list[KnownCall] = []
        for start in range(0, min(limit, len(references)), _READ_AT_ONCE):
            some = references[start : min(limit, start + _READ_AT_ONCE)]
            read = await asyncio.gather(*(self._read(tenant_id, one) for one in some))
            found += [one for one in read if one is not None and one.answer.state == "live"]
        left = references[limit:]
        return CallPage(tuple(found), f"{cursor}:{','.join(left)}" if cursor or left else "")

    async def _scan(self, tenant_id: str, cursor: str) -> tuple[str, list[str]]:
        """Read some names out of the index; no cursor: these were the last."""
        index, wanted = keys.keys_of(tenant_id).expiry, keys.expiry_member(tenant_id, "*")
        async with named_trouble():
            next_cursor, flat = await self._store.command(
                "ZSCAN", index, cursor, "MATCH", wanted, "COUNT", _NAMES_A_STEP
            )
        names = [name.decode() for name in flat[::2]]
        after = next_cursor.decode() if isinstance(next_cursor, bytes) else str(next_cursor)
        references = [keys.parse_expiry_member(name)[0] for name in names]
        return "" if after == _BEGIN else after, references

    async def _read(self, tenant_id: str, reference: str, key: str = "") -> KnownCall | None:
        async with named_trouble():
            text = await self._store.command("GET", key or keys.call_key(tenant_id, reference))
        try:
            return None if text is None else _known_call(tenant_id, reference, read_record(text))
        except (ValueError, IndexError) as error:
            raise LedgerDamaged("the record of a call") from error


def _known_call(tenant_id: str, reference: str, record: CallRecord) -> KnownCall | None:
    stored = (record.decision_id, record.answer, record.held, record.state, record.facts, b"")
    call_id, purses_text, _ = wire.read_call_text(record.facts.decode())
    # A page that somebody made up may name a call of another tenant.
    if call_reference(tenant_id, call_id) != reference:
        return None
    return KnownCall(
        CallKey(tenant_id, record.gateway_id.decode(), call_id),
        int(record.asked.split(b" ", 1)[0]),
        wire.read_answer(wire.FILE.join((b"SUPERSEDED", *stored))),
        purses_text,
    )


def _read_page(page: str) -> tuple[str, list[str]]:
    if not page:
        return _BEGIN, []
    if not _PAGE.fullmatch(page):
        raise PageUnknown(page)
    cursor, _, references = page.partition(":")
    return cursor, references.split(",") if references else []
