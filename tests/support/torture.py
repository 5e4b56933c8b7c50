"""Kill everything, at random, in the middle of calls; then count the money.

Two bridges drive calls through `ControlCalls` of two servers, while store, servers and keeper are
killed with SIGKILL and come back. Afterwards ledger, archive and usage records must agree, to the
micro, with money computed here from the seconds talked and the rate table, and nothing may stay
reserved. A store may lose what it had not written yet, or go back to an older snapshot ("older"):
the bridges tell again what they told last whenever the store's epoch has changed, as the shipped
client does with ends, and all is there.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import grpc.aio
from google.protobuf.duration_pb2 import Duration

from bridges import Bridge, QuestionFailed
from callgate.v1 import authorization_pb2 as pb
from callgate.v1.credits_pb2 import GetBalanceRequest, GetBalanceResponse
from callgate.v1.credits_pb2_grpc import CreditServiceStub
from server.ledger.keys import partition_of
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store
from torture_memory import Memory, heard_of_all, watching
from torture_victims import Victims, tortured_store
from torture_world import (
    CATALOGUE,
    OPENING_MICROS,
    TENANTS,
    Expected,
    PlannedCall,
    plan_calls,
    write_tenants,
)

CALLS_AT_ONCE = 32
SHORTEST_WISH_SECONDS, LONGEST_WISH_SECONDS = 30, 300
# How often the rest of a call is talked without another report.
SILENT_SHARE = 0.2
SETTLE_SECONDS = 60.0
A_DAY_MS = 86_400_000
_PROGRESS_EVERY = 250


class Wrong(AssertionError):
    """The money does not agree, or something stays reserved."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock that is ahead of every expiry."""

    ahead_ms: int = A_DAY_MS

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


async def torture(
    folder: Path, seed: int, calls: int, *, kills: int, store: str = "plain", progress: bool = False
) -> str:
    """Run it, and tell in a few lines what was done. Raises `Wrong`."""
    random = Random(seed)
    write_tenants(folder / "directory")
    planned = plan_calls(random, calls)
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        hurt = stack.enter_context(tortured_store(store, folder, TENANTS))
        victims = Victims(folder, hurt, CATALOGUE, folder / "directory")
        await stack.enter_async_context(victims.alive())
        bridges = [
            await stack.enter_async_context(
                Bridge(f"bridge-{number}", TENANTS, addresses).connected()
            )
            for number, addresses in enumerate((victims.addresses, victims.addresses[::-1]), 1)
        ]
        expected = Expected(CATALOGUE / "rates" / "USD.csv")
        killer = _Killer(victims, random, kills, calls)
        memories = [Memory(bridge, victims, _tell_again) for bridge in bridges]
        async with watching(memories):
            await _drive(memories, planned, expected, killer, progress)
            # Whoever asks has the store compared with the archive first.
            for tenant_id in TENANTS:
                await _balance(victims, tenant_id)
            await heard_of_all(victims.archive, memories)
        await _let_expire(victims)
        await _compare(victims, expected)
    talked = sum(expected.seconds.values())
    return "\n".join(
        (
            f"seed {seed}: {calls} calls, {talked:,} s talked, {time.monotonic() - started:.0f} s",
            f"hurt: {', '.join(f'{name} {n}' for name, n in sorted(victims.hurt.items()))}",
            f"streams opened: {', '.join(str(bridge.streams_opened) for bridge in bridges)}; "
            f"told again: {sum(memory.told_again for memory in memories)}",
            f"debited: {sum(expected.micros.values()) / 1e6:,.6f} USD; all agree to the micro",
        )
    )


class _Killer:
    """Kills evenly over the calls: one whenever enough of them have ended since the last."""

    def __init__(self, victims: Victims, random: Random, kills: int, calls: int) -> None:
        self._victims, self._random = victims, random
        self._left, self._every = kills, max(1, calls // (kills + 1))
        self._ended = 0
        # One at a time: two at once would start a server twice, or move a slot to two nodes.
        self._alone = asyncio.Lock()
        self._killings: list[asyncio.Task[None]] = []

    def call_ended(self) -> None:
        self._ended += 1
        if self._left and self._ended % self._every == 0:
            self._left -= 1
            self._killings.append(asyncio.create_task(self._hurt_one()))

    async def finish(self) -> None:
        await asyncio.gather(*self._killings)

    async def _hurt_one(self) -> None:
        async with self._alone:
            await self._victims.hurt_one(self._random)


async def _drive(
    memories: Sequence[Memory],
    planned: Sequence[PlannedCall],
    expected: Expected,
    killer: _Killer,
    progress: bool,
) -> None:
    waiting = iter(enumerate(planned, 1))

    async def work(memory: Memory) -> None:
        for number, call in waiting:
            expected.add(call, await _play(memory.bridge, call))
            if call.talk_seconds:
                memory.keep(call)
            killer.call_ended()
            if progress and number % _PROGRESS_EVERY == 0:
                print(f"  {number} of {len(planned)} calls", flush=True)

    try:
        async with asyncio.TaskGroup() as group:
            for memory in memories:
                for _ in range(CALLS_AT_ONCE):
                    group.create_task(work(memory))
    finally:
        await killer.finish()


async def _play(bridge: Bridge, call: PlannedCall) -> int:
    """Play one call from set-up to its end; return the seconds it is charged for."""
    granted = await _begin(bridge, call)
    if not call.talk_seconds:
        try:
            await bridge.ask(release_call=pb.ReleaseCallRequest(**_next_question(bridge, call)))
        except QuestionFailed as failure:
            if failure.reason != "CALL_UNKNOWN":
                raise
        bridge.forget(call.call_id)
        return 0
    while call.reported_seconds + 1 < call.talk_seconds:
        most = min(granted, call.talk_seconds - 1)
        call.reported_seconds = call.reports.randint(min(call.reported_seconds + 1, most), most)
        granted = await _extend(bridge, call)
        if call.reports.random() < SILENT_SHARE:
            break
    if call.abandoned and call.reported_seconds:
        # Its bridge never speaks of it again; the last cumulative report stands.
        bridge.forget(call.call_id)
        return call.reported_seconds
    call.abandoned = False
    talked = max(call.reported_seconds, min(call.talk_seconds, granted)) + call.over_run_seconds
    await _settle(bridge, call, talked)
    return talked


async def _begin(
    bridge: Bridge, call: PlannedCall, running_call: pb.RunningCall | None = None
) -> int:
    """Ask for a call, or announce a running one; return the seconds granted."""
    question = pb.AuthorizeCallRequest(
        **_next_question(bridge, call),
        running_call=running_call,
        called_number=call.number,
        requested_duration=_wish(call),
        user_call=pb.UserCall(user_id="payer"),
    )
    answer = (await bridge.ask(authorize_call=question)).authorize_call
    return _granted(bridge, call, answer)


async def _extend(bridge: Bridge, call: PlannedCall) -> int:
    question = pb.ExtendCallRequest(
        **_next_question(bridge, call),
        used_duration=Duration(seconds=call.reported_seconds),
        requested_duration=_wish(call),
    )
    try:
        return _granted(bridge, call, (await bridge.ask(extend_call=question)).extend_call)
    except QuestionFailed as failure:
        return await _announce(bridge, call, call.reported_seconds, failure)


async def _settle(bridge: Bridge, call: PlannedCall, talked: int) -> None:
    call.reported_seconds = talked
    used_duration = Duration(seconds=talked)
    answer: pb.SettleCallResponse | None = None
    while answer is None:
        question = pb.SettleCallRequest(**_next_question(bridge, call), used_duration=used_duration)
        try:
            answer = (await bridge.ask(settle_call=question)).settle_call
        except QuestionFailed as failure:
            await _announce(bridge, call, talked, failure)
    bridge.forget(call.call_id)
    if answer.uncollected.micros:
        raise Wrong(f"{call.call_id} was not paid in full: {answer}")


async def _tell_again(bridge: Bridge, call: PlannedCall) -> None:
    """Tell again what was told last of a call: where nothing was lost, nothing moves."""
    if call.abandoned:
        await _extend(bridge, call)
        bridge.forget(call.call_id)
        return
    call.sequence -= 1
    question = pb.SettleCallRequest(
        **_next_question(bridge, call), used_duration=Duration(seconds=call.reported_seconds)
    )
    try:
        await bridge.ask(settle_call=question)
    except QuestionFailed as failure:
        await _announce(bridge, call, call.reported_seconds, failure)
        await _settle(bridge, call, call.reported_seconds)


async def _announce(bridge: Bridge, call: PlannedCall, used: int, failure: QuestionFailed) -> int:
    """Announce a running call again, where the store lost it."""
    if failure.reason != "CALL_UNKNOWN":
        raise Wrong(f"{call.call_id}: {failure}") from failure
    used_duration = Duration(seconds=used)
    running = pb.RunningCall(used_duration=used_duration, decision_id=call.decision_id)
    return await _begin(bridge, call, running)


def _next_question(bridge: Bridge, call: PlannedCall) -> dict[str, Any]:
    call.sequence += 1
    call.gateway_id = bridge.gateway_id
    return {
        "tenant_id": call.tenant_id,
        "gateway_id": bridge.gateway_id,
        "call_id": call.call_id,
        "sequence": call.sequence,
    }


def _wish(call: PlannedCall) -> Duration:
    return Duration(seconds=call.reports.randint(SHORTEST_WISH_SECONDS, LONGEST_WISH_SECONDS))


def _granted(
    bridge: Bridge, call: PlannedCall, answer: pb.AuthorizeCallResponse | pb.ExtendCallResponse
) -> int:
    if not answer.HasField("grant"):
        raise Wrong(f"{call.call_id} was refused: {answer}")
    call.decision_id = answer.decision_id
    bridge.runs(call.tenant_id, call.call_id, call.sequence, answer.decision_id)
    return int(answer.grant.granted_duration.seconds)


async def _let_expire(victims: Victims) -> None:
    """Let the clock pass the last expiry: abandoned calls give back what they hold."""
    store = Store(victims.store.url)
    try:
        ledger = RedisLedger(store, Clock())
        for partition in {partition_of(tenant_id) for tenant_id in TENANTS}:
            while await ledger.expire(partition, 100):
                pass
    finally:
        await store.close()


async def _compare(victims: Victims, expected: Expected) -> None:
    """Compare ledger, archive and usage records with what was talked."""
    for tenant_id in TENANTS:
        balance = await _balance(victims, tenant_id)
        money = expected.micros[tenant_id]
        _agree(f"{tenant_id}: reserved", balance.reserved.micros, 0)
        _agree(f"{tenant_id}: debited", balance.debited.micros, money)
        _agree(f"{tenant_id}: available", balance.available.micros, OPENING_MICROS - money)
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            _compare_archive(victims.archive, expected)
        except Wrong:
            # The keeper archives what the ledger did a little later; it may have just come back.
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.5)
        else:
            return


async def _balance(victims: Victims, tenant_id: str) -> GetBalanceResponse:
    """Ask as a caller does: again, as long as the answer is that this may help."""
    deadline = time.monotonic() + SETTLE_SECONDS
    async with grpc.aio.insecure_channel(victims.addresses[0]) as channel:
        stub, question = CreditServiceStub(channel), GetBalanceRequest(tenant_id=tenant_id)
        while True:
            try:
                answer: GetBalanceResponse = await stub.GetBalance(
                    question, timeout=SETTLE_SECONDS, wait_for_ready=True
                )
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)
            else:
                return answer


def _compare_archive(archive: Path, expected: Expected) -> None:
    with closing(sqlite3.connect(f"file:{archive}?mode=ro", uri=True)) as database:
        debited = dict(database.execute("SELECT tenant_id, debited_micros FROM accounts"))
        by_tenant: Counter[str] = Counter()
        seconds: Counter[str] = Counter()
        by_call: Counter[str] = Counter()
        rows = database.execute(
            "SELECT tenant_id, call_id, duration_seconds, charge_micros FROM usage_records"
        )
        for tenant_id, call_id, duration, charge in rows:
            by_tenant[tenant_id] += charge
            seconds[tenant_id] += duration
            by_call[call_id] += charge
    for tenant_id in TENANTS:
        _agree(f"{tenant_id}: archived debits", debited.get(tenant_id), expected.micros[tenant_id])
        _agree(f"{tenant_id}: usage records", by_tenant[tenant_id], expected.micros[tenant_id])
        _agree(f"{tenant_id}: seconds", seconds[tenant_id], expected.seconds[tenant_id])
    for call_id, micros in expected.by_call.items():
        _agree(f"{call_id}: usage records", by_call[call_id], micros)


def _agree(what: str, found: int | None, wanted: int) -> None:
    if found != wanted:
        raise Wrong(f"{what}: found {found}, but the seconds talked come to {wanted}")
