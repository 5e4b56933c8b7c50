"""One partition as it is followed: how far it is read, who follows, how the accounts stand."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from server.ledger import LedgerDamaged
from server.ledger.journal.follower import Batch, Follower
from server.ledger.journal.movement import Movement
from server.ledger.journal.source import JournalSource, Page
from server.ledger.journal.standing import Place, Standing

# Entries of one reading: less than a follower may leave untaken, or the quickest would be ended.
PAGE = 500


class Tail:
    """What is read of one partition, once for all who follow one of its tenants."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.woken = asyncio.Event()
        self._followers: dict[str, set[Follower]] = {}
        self._standings: dict[str, Standing] = {}

    @property
    def is_followed(self) -> bool:
        """Whether anybody is left to read for."""
        return bool(self._followers)

    def add(self, follower: Follower, standing: Standing, tenant_id: str) -> None:
        """Let a follower have what is read of a tenant from now on."""
        self._followers.setdefault(tenant_id, set()).add(follower)
        known = self._standings.get(tenant_id)
        if known is None or known.place.n < standing.place.n:
            self._standings[tenant_id] = standing

    def remove(self, follower: Follower, tenant_id: str) -> None:
        """Let a follower have no more of a tenant."""
        followers = self._followers.get(tenant_id, set())
        followers.discard(follower)
        if not followers:
            self._followers.pop(tenant_id, None)
            self._standings.pop(tenant_id, None)

    def standing_of(self, tenant_id: str) -> Standing | Place | None:
        """Say how an account stands at this tail's place; where that is not known, the place."""
        standing = self._standings.get(tenant_id)
        if standing is None or standing.place.n > self.place.n:
            return self.place
        return dataclasses.replace(standing, place=self.place)

    async def read(self, source: JournalSource) -> bool:
        """Read some more and hand it over; say whether there is still more.

        Raises what the source raises. An entry that cannot be read is `LedgerDamaged` too, and
        nothing of its page is handed over.
        """
        page = await source.after(self.place, limit=PAGE)
        try:
            batches = self._batches_of(page)
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerDamaged(f"an entry after {self.place.n}: {error!r}") from error
        for batch in batches:
            self._hand_over(batch)
        self.place = page.place
        return page.more

    def followers(self) -> set[Follower]:
        """List who follows."""
        return {one for followers in self._followers.values() for one in followers}

    def end(self, why: Exception) -> None:
        """Tell all followers that no more will come."""
        for follower in self.followers():
            follower.end(why)

    def _batches_of(self, page: Page) -> list[Batch]:
        return [
            Batch(
                tenant_id,
                self._standings[tenant_id].currency,
                tuple(movements),
                _place_after(page.place.partition, movements[-1]),
                self._stand(tenant_id, movements),
                len(self._followers[tenant_id]),
            )
            for tenant_id, movements in _by_tenant(page.movements, self._followers)
        ]

    def _hand_over(self, batch: Batch) -> None:
        for follower in list(self._followers[batch.tenant_id]):
            if not follower.take(batch):
                self.remove(follower, batch.tenant_id)

    def _stand(self, tenant_id: str, movements: Sequence[Movement]) -> Standing | None:
        """Say how an account stands after these; None where it was read after them."""
        standing = self._standings[tenant_id]
        fresh = movements
        if movements[0].entry.n <= standing.place.n:
            fresh = [one for one in movements if one.entry.n > standing.place.n]
        if not fresh:
            return None
        standing = self._standings[tenant_id] = _after(standing, fresh)
        return standing


def _by_tenant(
    movements: Iterable[Movement], followed: Iterable[str]
) -> Iterator[tuple[str, list[Movement]]]:
    wanted = frozenset(followed)
    found: defaultdict[str, list[Movement]] = defaultdict(list)
    line, tenant_id = "", ""
    for movement in movements:
        # One tenant's often follow each other: then the first line is the same.
        body = movement.entry.body
        if not line or not body.startswith(line):
            line, tenant_id = body[: body.find("\n") + 1], movement.tenant_id
        if tenant_id in wanted:
            found[tenant_id].append(movement)
    yield from found.items()


def _after(standing: Standing, movements: Sequence[Movement]) -> Standing:
    telling = [movement for movement in movements if movement.call.reserved]
    available_micros, reserved_micros = standing.available_micros, standing.reserved_micros
    if telling:
        available_micros = telling[-1].available_micros
        reserved_micros = telling[-1].reserved_micros or 0
    return Standing(
        _place_after(standing.place.partition, movements[-1]),
        standing.currency,
        available_micros,
        reserved_micros,
        standing.debited_micros + sum(movement.debited_micros for movement in telling),
    )


def _place_after(partition: int, movement: Movement) -> Place:
    entry = movement.entry
    return Place(partition, entry.epoch, entry.n, entry.nonce)
