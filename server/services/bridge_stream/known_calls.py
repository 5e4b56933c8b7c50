"""The calls that one stream is told about, as the journal or an announcement last told of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from server.ledger.journal import Movement
from server.ledger.requests import REPORT_GRACE_MS, RING_LIMIT_MS
from server.ledger.running_calls import KnownCall

# Calls of one stream that are told of more than their debits; the others are not estimated.
MAX_RUNNING = 50_000

# No entry has this place: what remains was told, or was not worked out yet.
NOT_SILENT = -1

_MS = 1_000
_BEGUN_KINDS = frozenset({"reserved", "extended"})


@dataclass(slots=True)
class RunningCall:
    """One call that runs. `granted` counts the seconds of each purse, used or not.

    `n` is the place of the entry that told of it; 0 for one that was announced.
    """

    tenant_id: str
    call_id: str
    sequence: int
    decide_time_ms: int
    used_seconds: int
    granted_seconds: int
    granted: dict[int, int]
    purses_text: str
    context: str
    n: int
    # Its own grant changed what remains: that is told by the answer.
    is_fresh: bool
    # What was last told to remain beyond the grant, or remained when it was granted.
    told_seconds: int | None = None
    # As of which entry `told_seconds` was taken for what its own grant left, and not told.
    silent_n: int = NOT_SILENT
    is_warned: bool = False
    is_ordered: bool = False

    @property
    def report_by_ms(self) -> int:
        """When the next report is due at the latest."""
        if self.used_seconds == 0:
            return self.decide_time_ms + self.granted_seconds * _MS + RING_LIMIT_MS
        return self.granted_until_ms + REPORT_GRACE_MS

    @property
    def granted_until_ms(self) -> int:
        """When the grant of an answered call is used up."""
        return self.decide_time_ms + (self.granted_seconds - self.used_seconds) * _MS


class RunningCalls:
    """The calls by tenant and id."""

    def __init__(self) -> None:
        self._calls: dict[str, dict[str, RunningCall]] = {}
        self._count = 0
        # Tenants of which something moved since it was estimated what remains.
        self.moved: set[str] = set()

    def of(self, tenant_id: str) -> list[RunningCall]:
        """List the calls of a tenant."""
        return list(self._calls.get(tenant_id, {}).values())

    def find(self, tenant_id: str, call_id: str) -> RunningCall | None:
        """Find one call."""
        return self._calls.get(tenant_id, {}).get(call_id)

    def move(self, movement: Movement) -> None:
        """Take over what an entry tells of a call."""
        if movement.kind in _BEGUN_KINDS:
            self._put(_of_movement(movement))
        else:
            self._drop(movement.tenant_id, movement.call_id)

    def announce(self, known: KnownCall) -> None:
        """Take over a call that a bridge told of."""
        self.moved.add(known.call.tenant_id)
        self._put(_of_known(known))

    def _put(self, call: RunningCall) -> None:
        calls = self._calls.setdefault(call.tenant_id, {})
        before = calls.get(call.call_id)
        if before is None and self._count >= MAX_RUNNING:
            return
        if before is None:
            self._count += 1
        elif before.sequence > call.sequence:
            return
        else:
            call.told_seconds, call.is_warned = before.told_seconds, before.is_warned
            call.silent_n = before.silent_n
        calls[call.call_id] = call

    def _drop(self, tenant_id: str, call_id: str) -> None:
        calls = self._calls.get(tenant_id, {})
        if calls.pop(call_id, None) is not None:
            self._count -= 1
        if not calls:
            self._calls.pop(tenant_id, None)


def _of_movement(movement: Movement) -> RunningCall:
    fields = movement.fields
    segments = (map(int, one.split(" ")) for one in fields["segments"].split(",") if one)
    return RunningCall(
        tenant_id=movement.tenant_id,
        call_id=movement.call_id,
        sequence=int(fields["asked"].partition(" ")[0]),
        decide_time_ms=movement.entry.time_ms,
        used_seconds=movement.used_seconds,
        granted_seconds=movement.granted_seconds,
        granted=_sum(
            [(use.purse_index, use.seconds) for _, use in movement.uses],
            ((index, end - start) for index, start, end, _ in segments),
        ),
        purses_text=movement.purses_text,
        context=movement.context,
        n=movement.entry.n,
        is_fresh=True,
    )


def _of_known(known: KnownCall) -> RunningCall:
    answer = known.answer
    return RunningCall(
        tenant_id=known.call.tenant_id,
        call_id=known.call.call_id,
        sequence=known.sequence,
        decide_time_ms=answer.decide_time_ms,
        used_seconds=answer.used_seconds,
        granted_seconds=answer.granted_seconds if answer.segments else answer.used_seconds,
        granted=_sum(
            [(use.purse_index, use.seconds) for use in answer.uses],
            ((one.purse_index, one.to_second - one.from_second) for one in answer.segments),
        ),
        purses_text=known.purses_text,
        context=answer.context,
        n=0,
        # Others may have moved what remains since it was granted, while nobody was told.
        is_fresh=False,
    )


def _sum(*parts: Iterable[tuple[int, int]]) -> dict[int, int]:
    sums: dict[int, int] = {}
    for part in parts:
        for index, seconds in part:
            sums[index] = sums.get(index, 0) + seconds
    return sums
