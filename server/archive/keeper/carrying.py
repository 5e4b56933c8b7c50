"""What a store knows and the archive does not, as entries: where the journal of it was lost."""

from __future__ import annotations

import logging
import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from policy.decision import PoolPurse, Purse
from server.archive import (
    AccountCarried,
    AccountImage,
    Archive,
    CallChange,
    CallId,
    CallRow,
    Entry,
    Position,
    UseRow,
)
from server.archive.keeper.entries import EntryUnknown, read_entry
from server.ledger import LedgerDamaged
from server.ledger.codec import (
    CallRecord,
    read_call_text,
    read_lots,
    read_meta,
    read_purses,
    read_record,
    write_rows,
)
from server.ledger.journal.entries import JournalEntry
from server.ledger.keys import CARRIED_FIELD, tenant_name, tenant_of
from server.ledger.maintenance import TIMED, AsideState
from server.storage.redis.references import CALL_REFERENCE_CHARACTERS, call_reference

_NONCE_BYTES = 10
_RUNNING = b"live"
_NEVER_GRANTED = b"refused"
_WHOLE = ("about", "flags", "money", "totals")
# When the freeze and the limit of an account were asked for.
_ASKED = ("freezing", "limiting")
# Where the name of its tenant stands in a tally's field.
_TENANT_AT = {"pool": 3, "spend": 2}
_MOVED = (*TIMED, "taken ")

_Rows = list[tuple[str, ...]]
_ArchivedCalls = Mapping[CallId, tuple[CallRow, tuple[UseRow, ...]]]

_log = logging.getLogger(__name__)


def new_nonce() -> str:
    """Name an entry that answers no question."""
    return secrets.token_hex(_NONCE_BYTES)


@dataclass(slots=True)
class _Chain:
    """Entries one behind the other, and behind all that archive and store had."""

    epoch: int
    n: int
    nonce: str
    time_ms: int
    entries: list[Entry] = field(default_factory=list)

    def next(self, kind: str, lines: Mapping[str, str], nonce: str = "") -> Entry:
        """Make the next entry. Raises `EntryUnknown`."""
        place = self.epoch, self.n + 1, nonce or new_nonce(), self.nonce
        body = "\n".join(f"{name}={text}" for name, text in lines.items())
        return read_entry(JournalEntry(*place, self.time_ms, 0, kind, body))

    def add(self, entry: Entry) -> None:
        """Put an entry that was made last at the end."""
        self.n, self.nonce = entry.n, entry.nonce
        self.entries.append(entry)


class Carrying:
    """Says what the archive lacks of a partition that was set aside.

    First the accounts that it does not know, then calls as their records tell them, then what
    accounts have otherwise than all that explains. What cannot be read is left out.
    """

    def __init__(self, archive: Archive, partition: int, state: AsideState) -> None:
        self._archive = archive
        self._partition = partition
        self._state = state
        self._accounts = dict(_accounts(state.fields))
        meta = read_meta(state.fields[CARRIED_FIELD])
        self._n, self.time_ms = meta.n, meta.time_ms

    async def entries(self, position: Position) -> list[Entry]:
        """List what is to be archived behind `position`. Raises what the archive raises."""
        n = max(position.n, self._n)
        chain = _Chain(position.epoch, n, position.nonce, self.time_ms)
        images = await self._images([])
        for tenant_id, texts in self._accounts.items():
            if tenant_id not in images:
                currency, prepaid, _ = texts["about"].split(" ")
                digest = texts["flags"].split(" ")[0]
                lines = {"currency": currency, "digest": digest, "prepaid": prepaid}
                chain.add(chain.next("opened", {"tenant": tenant_name(tenant_id), **lines}))
        await self._add_calls(chain, images)
        images = await self._images(chain.entries)
        self._add_accounts(chain, images)
        return chain.entries

    async def _images(self, entries: Sequence[Entry]) -> dict[str, AccountImage]:
        preview = await self._archive.preview(self._partition, entries)
        return {image.account.tenant_id: image for image in preview.accounts}

    async def _add_calls(self, chain: _Chain, images: Mapping[str, AccountImage]) -> None:
        tenants = sorted({*self._accounts, *images})
        records = dict(_records(self._state, tenants))
        archived = await self._archive.calls(list(records))
        balances = {tenant_id: image.available_micros for tenant_id, image in images.items()}
        for call, record in records.items():
            tenant_id = call[0]
            try:
                lines = _call_lines(call, record, archived)
                if lines is None:
                    continue
                nonce, kind = record.decision_id.decode(), _kind_of(record)
                balance = balances.get(tenant_id)
                if balance is not None:
                    entry = chain.next(kind, lines, nonce)
                    assert isinstance(entry.change, CallChange)
                    balance = balances[tenant_id] = balance - _paid_now(entry.change)
                    lines |= {"available": str(balance), "reserved": "0"}
                chain.add(chain.next(kind, lines, nonce))
            except (EntryUnknown, IndexError, ValueError) as error:
                _log.error("A call of %s is not carried over: %s", tenant_id, error)

    def _add_accounts(self, chain: _Chain, images: Mapping[str, AccountImage]) -> None:
        tallies, noted = _by_tenant(self._state.fields)
        for tenant_id, texts in self._accounts.items():
            image = images[tenant_id]
            available, reserved, _ = texts["money"].split(" ")
            known = noted[tenant_id]
            try:
                lines = {
                    "tenant": tenant_name(tenant_id),
                    **texts,
                    "lots": write_rows(_lots(image, texts["lots"], known, time_ms=self.time_ms)),
                    "tallies": write_rows(_tallies(image, tallies[tenant_id])),
                    "movements": write_rows(_movements(image, known, self.time_ms)),
                    "available": available,
                    "reserved": reserved,
                }
                entry = chain.next("carried", lines)
            except (EntryUnknown, IndexError, ValueError) as error:
                _log.error("The account of %s is not carried over: %s", tenant_id, error)
                continue
            assert isinstance(entry.change, AccountCarried)
            if _tells_more(image, entry.change):
                chain.add(entry)


def _accounts(fields: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    for name in sorted(fields):
        kind, _, tenant = name.partition("/")
        if kind == "money" and all(f"{other}/{tenant}" in fields for other in _WHOLE):
            texts = {other: fields[f"{other}/{tenant}"] for other in _WHOLE}
            asked = {other: fields.get(f"{other}/{tenant}", "0") for other in _ASKED}
            lots = {"lots": fields.get(f"lots/{tenant}", "")}
            yield tenant_of(tenant), texts | asked | lots


def _records(state: AsideState, tenants: list[str]) -> Iterator[tuple[CallId, CallRecord]]:
    """Read the records of calls, each with its tenant, of which a key has but a hash."""
    likely = list(tenants)
    for key, text in sorted(state.records.items()):
        try:
            record = read_record(text)
        except LedgerDamaged as error:
            _log.error("%s is not carried over: %s", key, error)
            continue
        if record.state == _NEVER_GRANTED:
            continue
        call_id = read_call_text(record.facts.decode()).call_id
        reference = key.split(":", 2)[2][:CALL_REFERENCE_CHARACTERS]
        for tenant_id in likely:
            if call_reference(tenant_id, call_id) == reference:
                yield (tenant_id, (record.opened_id or record.decision_id).decode()), record
                # Mostly the next one is of the same.
                likely.remove(tenant_id)
                likely.insert(0, tenant_id)
                break


def _kind_of(record: CallRecord) -> str:
    return "extended" if record.state == _RUNNING else record.state.decode()


def _call_lines(
    call: CallId, record: CallRecord, archived: _ArchivedCalls
) -> dict[str, str] | None:
    """Write a call as an entry has it; None where the archive has all of it."""
    tenant_id, opened_id = call
    segments, uses, report = record.held.decode().split("|")
    facts = record.facts.decode()
    call_id, purses, _ = read_call_text(facts)
    lines = {
        "tenant": tenant_name(tenant_id),
        "call": f"{call_reference(tenant_id, call_id)}:{tenant_name(tenant_id)}",
        "gateway": record.gateway_id.decode(),
        "opened": opened_id,
        "asked": record.asked.decode(),
        "segments": segments if record.state == _RUNNING else "",
        "uses": uses,
        "before": "",
        "held_before": "",
        "report": report,
        "unfunded": record.unfunded.decode(),
        "lots": "",
        "available": "-",
        "reserved": "0",
        "facts": facts,
    }
    row, used = archived.get(call, (None, ()))
    if row is None:
        return lines
    same_end = record.state.decode() == row.state.value
    if same_end and (purses, uses) == (row.purses_text, _uses_text(used)):
        return None
    if purses == row.purses_text:
        return lines | {"before": _uses_text(used)}
    # The purses changed in what was lost: what the old ones paid stays theirs.
    lines["before"] = _paid_by_other_places(used, row.purses_text, purses)
    return lines | {"other_purses": row.purses_text}


def _uses_text(uses: Sequence[UseRow]) -> str:
    paid = (use for use in uses if use.seconds or use.micros)
    return ",".join(f"{use.purse_index} {use.seconds} {use.micros}" for use in paid)


def _paid_by_other_places(uses: Sequence[UseRow], old: str, new: str) -> str:
    places = {_what(purse): index for index, purse in enumerate(read_purses(new).purses)}
    what = [_what(purse) for purse in read_purses(old).purses]
    return ",".join(
        f"{places[what[use.purse_index]]} {use.seconds} {use.micros}"
        for use in sorted(uses, key=lambda use: places.get(what[use.purse_index], -1))
        if what[use.purse_index] in places
    )


def _what(purse: Purse) -> object:
    """Say by what a purse is known again: a pool by its tally, credits by being credits."""
    if isinstance(purse, PoolPurse):
        return purse.period, purse.counter, purse.pool_id
    return type(purse)


def _paid_now(change: CallChange) -> int:
    """Say how much less is there of a balance since the archive last heard of a call."""
    micros = 0
    for sign, uses in ((1, change.uses), (-1, change.before)):
        for use in uses:
            if not (change.unfunded and change.purses[use.purse_index].post_paid):
                micros += sign * use.micros
    return micros


_Named = defaultdict[str, dict[str, str]]


def _by_tenant(fields: Mapping[str, str]) -> tuple[_Named, _Named]:
    """Sort the tallies by tenant, and what is known of lots and movements by tenant and id."""
    tallies: _Named = defaultdict(dict)
    noted: _Named = defaultdict(dict)
    for name, text in fields.items():
        kind, *rest = name.split("/", 2)
        if kind in _TENANT_AT:
            tallies[tenant_of(name.split("/")[_TENANT_AT[kind]])][name] = text
        elif kind == "known":
            noted[tenant_of(rest[0])][rest[1]] = text
    return tallies, noted


def _lots(image: AccountImage, text: str, known: Mapping[str, str], *, time_ms: int) -> _Rows:
    """List the lots that the archive has otherwise: id, micros, left, purchase, expiry, voided."""
    there = {}
    for lot in read_lots(text):
        sums = (str(lot.expire_ms), str(lot.bought_ms), str(lot.left_micros))
        there[lot.lot_id] = *sums, str(int(lot.voided))
    archived = {lot.lot_id: lot for lot in image.lots}
    rows: _Rows = []
    for lot_id in sorted({*there, *archived, *(i for i, t in known.items() if t[:4] == "lot ")}):
        expire, purchase, left, voided = there.get(lot_id, ("0", str(time_ms), "0", "0"))
        micros = left
        if known.get(lot_id, "").startswith("lot "):
            _, micros, expire, *is_voided = known[lot_id].split(" ")
            voided = "1" if is_voided else voided
        old = archived.get(lot_id)
        if old is None or (old.left_micros, old.voided) != (int(left), voided == "1"):
            micros, expire = (str(old.micros), str(old.expire_ms)) if old else (micros, expire)
            rows.append((lot_id, micros, left, purchase, expire, voided))
    return rows


def _tallies(image: AccountImage, tallies: Mapping[str, str]) -> _Rows:
    archived = dict(image.tallies)
    done = ((name, text.split(" ")[0]) for name, text in sorted(tallies.items()))
    return [(name, text) for name, text in done if int(text) != archived.get(name, 0)]


def _movements(image: AccountImage, known: Mapping[str, str], time_ms: int) -> _Rows:
    """List debits, refunds and takings that the archive lacks: id, what, when, micros."""
    archived = dict(image.movements)
    rows: _Rows = []
    for movement_id, text in sorted(known.items()):
        if movement_id in archived or not text.startswith(_MOVED):
            continue
        what, made = text, str(time_ms)
        if text.startswith(TIMED):
            what, _, made = text.rpartition(" ")
        rows.append((movement_id, what, made, text.split(" ")[1]))
    return rows


def _tells_more(image: AccountImage, change: AccountCarried) -> bool:
    if change.lots or change.tallies or change.movements:
        return True
    account = image.account
    sums = ("post_paid", "funded", "debited", "refunded", "expired", "voided")
    same = ("prepaid", "digest", "version", "frozen", "has_balance")
    return (
        any(getattr(change, name) != getattr(account, f"{name}_micros") for name in sums)
        or any(getattr(change, name) != getattr(account, name) for name in same)
        or change.credit_limit != account.credit_limit_micros
        or any(getattr(change, f"{name}_ms") > getattr(account, f"{name}_ms") for name in _ASKED)
    )
