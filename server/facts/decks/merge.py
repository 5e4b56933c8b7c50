"""A deck beside the rates there are: what each destination costs afterwards, and what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from server.facts.decks.deck import DeckRate, to_instant
from server.facts.decks.places import Target

Timeline = Sequence[DeckRate]
Table = Mapping[Target, Timeline]


class ChangeKind(StrEnum):
    """What becomes of a destination's rate."""

    NEW = "new"
    GONE = "gone"
    UP = "up"
    DOWN = "down"
    # The price of a minute stays, the connection fee or the increments do not.
    TERMS = "terms"
    # A change that was announced, and does not come.
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Change:
    """What changes of one destination; `before` and `after` are None where there is no rate."""

    kind: ChangeKind
    currency: str
    target: Target
    before: DeckRate | None
    after: DeckRate | None
    valid_from: str
    line: int


@dataclass(slots=True)
class Merged:
    """The table of one currency as it will be."""

    currency: str
    rates: dict[Target, list[DeckRate]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    before: int = 0

    def counts(self) -> Counter[ChangeKind]:
        """Count the changes of each kind."""
        return Counter(each.kind for each in self.changes)


def merge_deck(
    currency: str, present: Table, deck: Table, *, now_ms: int, keep_others: bool
) -> Merged:
    """Put a deck in the place of the rates there are, or beside them where those are kept.

    A rate of the deck holds from its own instant; until then the one in force stays. What the deck
    does not have ends with its first date to come, at once where it has none.
    """
    merging = _Merging(Merged(currency, before=len(present)), now_ms)
    rates = merging.merged.rates
    for target, wanted in deck.items():
        rates[target] = merging.timeline(target, present.get(target, ()), wanted)
    gone_ms = min(_coming(deck, now_ms), default=now_ms)
    for target, had in present.items():
        if target in deck:
            continue
        if keep_others:
            rates[target] = list(had)
        elif kept := merging.ended(target, had, gone_ms):
            rates[target] = kept
    return merging.merged


@dataclass(frozen=True, slots=True)
class _Merging:
    """Makes the timelines of one currency, and notes what changes."""

    merged: Merged
    now_ms: int

    def timeline(self, target: Target, had: Timeline, wanted: Timeline) -> list[DeckRate]:
        """Make the rates of a destination that the deck has."""
        wanted = sorted(wanted, key=lambda each: each.valid_from_ms)
        begun = [each for each in wanted if each.valid_from_ms <= self.now_ms]
        coming = [each for each in wanted if each.valid_from_ms > self.now_ms]
        current = _in_force(had, self.now_ms)
        announced = [each for each in had if each.valid_from_ms > self.now_ms]
        if begun:
            made, kept = [self._follow(target, current, begun[-1])], []
        else:
            kept = [each for each in announced if each.valid_from_ms < coming[0].valid_from_ms]
            made = kept if current is None else [current, *kept]
        self._tell_dropped(target, [each for each in announced if each not in kept], coming)
        pending = {each.valid_from_ms: each for each in announced}
        for each in coming:
            before = made[-1] if made else None
            was = pending.get(each.valid_from_ms)
            if was is not None and was.terms() == each.terms():
                self.merged.unchanged += 1
                made = [*made, was]
            elif before is not None and before.terms() == each.terms():
                self.merged.unchanged += 1
            else:
                made = [*made, self._follow(target, before, each)]
        return [each for i, each in enumerate(made) if i or each.per_minute_micros is not None]

    def ended(self, target: Target, had: Timeline, gone_ms: int) -> list[DeckRate]:
        """Make the rates of a destination that the deck does not have."""
        current = _in_force(had, gone_ms)
        if current is not None and current.per_minute_micros is None:
            # It ends, or has ended, before.
            begun = [each for each in had if each.valid_from_ms <= gone_ms]
            return begun if current.valid_from_ms > self.now_ms else []
        at = to_instant(gone_ms)
        self._tell(ChangeKind.GONE, target, (current or had[0], None), (at, 0))
        if gone_ms <= self.now_ms or current is None:
            return []
        kept = [each for each in had if each.valid_from_ms < gone_ms]
        return [*kept, DeckRate(at, gone_ms, None, 0, current.increments)]

    def _follow(self, target: Target, before: DeckRate | None, after: DeckRate) -> DeckRate:
        """Say what changes from one rate to the next; give the one to be kept."""
        if before is not None and before.terms() == after.terms():
            self.merged.unchanged += 1
            return before
        had = None if before is None else before.per_minute_micros
        kind = _kind(had, after.per_minute_micros)
        if kind is not None:
            pair = (
                None if had is None else before,
                None if after.per_minute_micros is None else after,
            )
            self._tell(kind, target, pair, (after.valid_from, after.line))
        return after

    def _tell_dropped(self, target: Target, announced: Timeline, coming: Timeline) -> None:
        told = {(each.valid_from_ms, each.terms()) for each in coming}
        for each in announced:
            if (each.valid_from_ms, each.terms()) not in told:
                self._tell(ChangeKind.DROPPED, target, (each, None), (each.valid_from, 0))

    def _tell(  # noqa: PLR0917 - Kind, target, rates, place: the order in which they are told.
        self,
        kind: ChangeKind,
        target: Target,
        rates: tuple[DeckRate | None, DeckRate | None],
        at: tuple[str, int],
    ) -> None:
        self.merged.changes.append(Change(kind, self.merged.currency, target, *rates, *at))


def _kind(had: int | None, has: int | None) -> ChangeKind | None:
    if had is None:
        return None if has is None else ChangeKind.NEW
    if has is None:
        return ChangeKind.GONE
    if has == had:
        return ChangeKind.TERMS
    return ChangeKind.UP if has > had else ChangeKind.DOWN


def _in_force(rates: Timeline, now_ms: int) -> DeckRate | None:
    begun = [each for each in rates if each.valid_from_ms <= now_ms]
    return begun[-1] if begun else None


def _coming(deck: Table, now_ms: int) -> Iterator[int]:
    for rates in deck.values():
        yield from (each.valid_from_ms for each in rates if each.valid_from_ms > now_ms)
