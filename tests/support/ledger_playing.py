"""Playing random histories on the model and on each store, and comparing them after each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from random import Random

from engines import OwnRedis
from ledger_comparison import (
    check_invariants,
    indexed_calls,
    journal_kinds,
    model_state,
    redis_state,
)
from ledger_crashes import Crashes
from ledger_history import STEPS, TENANTS, History, Step, outcome_of
from ledgers import ManualClock
from server.ledger.keys import expiry_member, partition_of
from server.ledger.model.ledger import MemoryLedger
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store, Timeouts
from server.storage.redis.references import call_reference
from stores import empty
from unsteady import PatientStore


class Difference(AssertionError):
    """Two ledgers did not agree, or an invariant broke; the text names seed and step."""


async def play(
    seed: int,
    stores: Mapping[str, Store],
    servers: Mapping[str, OwnRedis] | None = None,
    steps: int = STEPS,
) -> Counter[str]:
    """Play one history on the model and on each store, with crashes between its steps.

    Those of `servers` may be killed. Raises `Difference`; says how much of what was played.
    """
    clock = ManualClock()
    tolerance = None if seed % 3 == 0 else 60
    model = MemoryLedger(clock, tolerance_seconds=tolerance)
    ledgers = {
        name: RedisLedger(store, clock, tolerance_seconds=tolerance)
        for name, store in stores.items()
    }
    crashes = Crashes(seed, servers or {})
    for store in stores.values():
        await empty(store)
        if crashes.kills_servers:
            # What went before is gone and need not be read when it starts again.
            await store.every_node("BGREWRITEAOF")
    history = History(Random(seed), clock)
    opening = history.opening()
    before = ""
    for number in range(steps):
        name, step = opening[number] if number < len(opening) else history.next_step()
        where = f"seed {seed}, step {number}: {name}"
        if number >= len(opening):
            before = await crashes.between_steps(model, ledgers, history)
        times = 2 if crashes.loses_reply(name) else 1
        expected = await outcome_of(step, model)
        for kind, ledger in ledgers.items():
            found = await _asked(step, ledger, times)
            if found != expected:
                raise Difference(
                    f"{where}, asked {times} x {before}\n  model: {expected}\n  {kind}: {found}"
                )
            await _compare_states(model, ledger, f"{where}\n  {expected}\n  {kind}")
        try:
            check_invariants(model)
        except AssertionError as error:
            raise Difference(f"{where}\n  {expected}") from error
    return Counter(
        {
            "steps": steps,
            "replies lost": crashes.lost_replies,
            "kills": crashes.kills,
            "rebuilds": crashes.rebuilds,
            "records lapsed": crashes.lapsed,
        }
    )


async def _asked(step: Step, ledger: RedisLedger, times: int) -> object:
    # All but the last reply are lost.
    for _ in range(times - 1):
        await outcome_of(step, ledger)
    return await outcome_of(step, ledger)


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
    first: int, seeds: int, servers: Mapping[str, OwnRedis], tell: Callable[[str], None]
) -> None:
    """Play `seeds` histories, beginning with seed `first`; `tell` of the progress."""
    # However busy the machine is: what was done and not answered in time would be done again.
    patience = Timeouts(reply_seconds=60.0)
    stores = {name: PatientStore(server.url, patience) for name, server in servers.items()}
    for store in stores.values():
        await RedisLedger(store, ManualClock()).install()
    played: Counter[str] = Counter()
    for number, seed in enumerate(range(first, first + seeds), start=1):
        played += await play(seed, stores, servers)
        tell(f"{number} of {seeds} histories: " + ", ".join(f"{n} {k}" for k, n in played.items()))
    for store in stores.values():
        await store.close()
