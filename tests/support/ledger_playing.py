"""Playing random histories on the model and on each store, and comparing them after each step."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from ledger_comparison import (
    check_invariants,
    indexed_calls,
    journal_kinds,
    model_state,
    redis_state,
)
from ledger_history import STEPS, TENANTS, History, outcome_of
from ledgers import ManualClock
from server.ledger.keys import call_reference, expiry_member, partition_of
from server.ledger.memory_ledger import MemoryLedger
from server.ledger.redis_ledger import RedisLedger
from server.store import Store
from stores import empty


class Difference(AssertionError):
    """Two ledgers did not agree, or an invariant broke; the text names seed and step."""


async def play(seed: int, stores: dict[str, Store], steps: int = STEPS) -> int:
    """Play one history on the model and on each store. Raises `Difference`; says how many steps."""
    clock = ManualClock()
    model = MemoryLedger(clock)
    others = {name: RedisLedger(store, clock) for name, store in stores.items()}
    for ledger in others.values():
        await empty(ledger._store)
    history = History(Random(seed), clock)
    opening = history.opening()
    for number in range(steps):
        name, step = opening[number] if number < len(opening) else history.next_step()
        where = f"seed {seed}, step {number}: {name}"
        expected = await outcome_of(step, model)
        for kind, ledger in others.items():
            found = await outcome_of(step, ledger)
            if found != expected:
                raise Difference(f"{where}\n  model: {expected}\n  {kind}: {found}")
            await _compare_states(model, ledger, f"{where}\n  {expected}\n  {kind}")
        try:
            check_invariants(model)
        except AssertionError as error:
            raise Difference(f"{where}\n  {expected}") from error
    return steps


async def _compare_states(model: MemoryLedger, ledger: RedisLedger, where: str) -> None:
    for tenant in model._accounts:
        expected, found = model_state(model, tenant), await redis_state(ledger, tenant)
        if expected != found:
            raise Difference(f"{where} {tenant}\n  model: {expected}\n  store: {found}")
        live = {
            expiry_member(tenant, call_reference(tenant, call_id))
            for (of_tenant, call_id), call in model._calls.items()
            if of_tenant == tenant and call.state == "live"
        }
        if not live <= await indexed_calls(ledger, tenant):
            raise Difference(f"{where}: a reservation without its expiry")
    partitions = {partition_of(tenant) for tenant in TENANTS}
    kinds = sorted(model.journal, key=lambda entry: partition_of(entry[1]))
    if kinds != await journal_kinds(ledger, partitions):
        raise Difference(f"{where}: the journals differ")


async def simulate(
    first: int, seeds: int, urls: dict[str, str], tell: Callable[[str], None]
) -> None:
    """Play `seeds` histories, beginning with seed `first`; `tell` of the progress."""
    stores = {name: Store(url) for name, url in urls.items()}
    for store in stores.values():
        await RedisLedger(store, ManualClock()).install()
    steps = 0
    for number, seed in enumerate(range(first, first + seeds), start=1):
        steps += await play(seed, stores)
        tell(f"{number} of {seeds} histories, {steps} steps")
    for store in stores.values():
        await store.close()
