"""Naming the store's trouble in the ledger's words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from server.ledger.trouble import LedgerDamaged, LedgerUnavailable
from server.store import StoreRefused, StoreUnavailable


@asynccontextmanager
async def named_trouble() -> AsyncIterator[None]:
    """Raise `LedgerUnavailable` and `LedgerDamaged` for what the store raises."""
    try:
        yield
    except StoreUnavailable as error:
        raise LedgerUnavailable(str(error)) from error
    except StoreRefused as error:
        raise LedgerDamaged(str(error)) from error


def pairs(fields: Any) -> Iterable[tuple[bytes, bytes]]:
    """List the fields of a hash or an entry: the wire has a list, some clients make a mapping."""
    if isinstance(fields, Mapping):
        return fields.items()
    return zip(fields[::2], fields[1::2], strict=True)
