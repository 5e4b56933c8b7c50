"""Looking for what a partition has lost beside its journal: its line, its index, or some fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from server.archive import Archive, ArchivedAccount
from server.archive.keeper.drain import named_places
from server.ledger.codec import read_account, read_lots, read_meta
from server.ledger.keys import META_FIELD, opening_lot, tenant_name
from server.ledger.maintenance import Keeping, Looked, is_past

_KINDS = ("about", "flags", "money", "totals", "lots")
_NEVER_EMPTY = ("about", "flags", "money", "totals")

Fields = Mapping[str, str | None]


class Inspection:
    """Compares what must be in a store with what the archive knows. Changes nothing.

    The archive is never ahead of the store: of what it knows nothing may be missing there.
    """

    def __init__(self, keeping: Keeping, archive: Archive) -> None:
        self._keeping = keeping
        self._archive = archive

    async def look(self, partition: int, oldest_period: str) -> tuple[str, int]:
        """Say what a partition lost, "" where nothing; and how many accounts were looked at.

        Tallies of months before `oldest_period` may be swept. Raises what ledger and archive raise.
        """
        accounts = await self._archive.accounts(partition)
        fields = [META_FIELD]
        for account in accounts:
            fields += _fields_of(account, oldest_period)
        looked = await self._keeping.look(partition, fields)
        return _lost(accounts, looked), len(accounts)


def _fields_of(account: ArchivedAccount, oldest_period: str) -> Iterator[str]:
    name = tenant_name(account.tenant_id)
    yield from (f"{kind}/{name}" for kind in _KINDS)
    if account.has_opening_lot:
        yield f"known/{name}/{opening_lot(account.tenant_id)}"
    yield from (field for field in account.tallies if not is_past(field, oldest_period))


def _lost(accounts: Sequence[ArchivedAccount], looked: Looked) -> str:
    found, meta = looked.fields, looked.fields[META_FIELD]
    if meta is None:
        return "its accounts are gone"
    stands_at = read_meta(meta).n
    if 0 < looked.last_n < stands_at:
        return f"{named_places(looked.last_n + 1, stands_at)} gone from the end of its journal"
    may_be_missing = {f"lots/{tenant_name(account.tenant_id)}" for account in accounts}
    for field, value in found.items():
        if value is None and field not in may_be_missing:
            return f"{field} of its accounts is gone"
    reserved = 0
    for account in accounts:
        name = tenant_name(account.tenant_id)
        trouble, held = _sums(found, name)
        if trouble:
            return trouble
        reserved += held
    if reserved and not looked.reservations:
        return f"its index of reservations is gone, though {reserved} micros are held"
    return ""


def _sums(found: Fields, name: str) -> tuple[str, int]:
    """Say what is wrong with the sums of an account, "" for nothing, and what it holds."""
    try:
        sums = read_account(str(found[f"money/{name}"]), str(found[f"totals/{name}"]))
        left = sum(lot.left_micros for lot in read_lots(found[f"lots/{name}"] or ""))
    except ValueError:
        return f"the account of {name} cannot be read", 0
    if left - sums.owed < (sums.available or 0):
        return f"lots/{name} of its accounts is gone", sums.reserved
    return "", sums.reserved
