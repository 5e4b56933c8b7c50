"""Rounds over many accounts, in which the trouble of one is no other one's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import TypeVar

from server.ledger import LedgerError, LedgerUnavailable
from server.ledger.keys import partition_of

# So many partitions in a row without one that answers, and the store itself is taken to be away.
MOST_AWAY = 3

_log = logging.getLogger(__name__)


Each = TypeVar("Each")


class Round:
    """One round: an account in trouble holds nobody else's money up; a store that is away does."""

    def __init__(self) -> None:
        self._away: set[int] = set()
        self._reached = False

    def among(
        self, found: Iterable[Each], tenant_of: Callable[[Each], str] = attrgetter("tenant_id")
    ) -> Iterator[Each]:
        """Give one after the other, but those of partitions that were found away meanwhile."""
        return (each for each in found if partition_of(tenant_of(each)) not in self._away)

    @contextmanager
    def passing_over(self, what: str, tenant_id: str) -> Iterator[None]:
        """Go on after what the ledger raises about one account."""
        try:
            yield
        except LedgerUnavailable as error:
            self._away.add(partition_of(tenant_id))
            if not self._reached and len(self._away) >= MOST_AWAY:
                raise
            _log.warning("%s of %s waits: %s", what, tenant_id, error)
        except LedgerError as error:
            self._reached = True
            _log.error("%s of %s is passed over: %r", what, tenant_id, error)
        else:
            self._reached = True
