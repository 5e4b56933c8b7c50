"""1,600 settles in flight from four processes across the trigger, beside keepers that die."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from keepers import Gate, drained
from payment_servers import KEY, PaymentServer, running_billing
from server.funding.provider_events import PATH, PaymentEvents
from server.funding.providers.billing import Billing
from server.transport.http import HttpListener, OutgoingHttp
from server.transport.http.listener import Address
from till_victims import Victim
from tills import UNIT, Till

PROCESSES, CALLS_EACH = 4, 400
# What a settled call of a minute costs.
PRICE = UNIT // 10
LEAST_DEATHS = 16
SPENT = PROCESSES * CALLS_EACH * PRICE


async def a_process(url: str, number: int, time_ms: int) -> asyncio.subprocess.Process:
    """Start a process that has calls running, and wait until they do."""
    script = Path(__file__).parents[1] / "support" / "settling.py"
    arguments = (url, number * CALLS_EACH, CALLS_EACH, time_ms)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(script), *map(str, arguments)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()).strip() == b"ready"
    return process


async def settle(process: asyncio.subprocess.Process) -> None:
    """Let a process settle all of its calls, and end."""
    assert process.stdin is not None
    process.stdin.write(b"go\n")
    await process.stdin.drain()
    process.stdin.close()
    assert await process.wait() == 0


@asynccontextmanager
async def listening(till: Till, billing: PaymentServer) -> AsyncIterator[Till]:
    """Let a till be charged by billing over HTTP, and hear its events."""
    clock = till.house.clock
    payments = Billing(billing.url, KEY, OutgoingHttp(["127.0.0.1"]), clock.now_ms)
    till = dataclasses.replace(till, payments=payments)
    events = PaymentEvents(
        till.house.archive.database, payments, till.charging, till.reversing, clock.now_ms
    )
    listener = HttpListener(Address("127.0.0.1", 0), CollectorRegistry(), {PATH: events.take})
    billing.events_url = f"http://127.0.0.1:{await listener.start()}{PATH}"
    try:
        yield till
    finally:
        await listener.stop()


async def test_a_rush_across_the_trigger_is_charged_once(
    till: Till, valkey: str, doomed: Callable[[Gate], Till]
) -> None:
    """F1, F9: one charge and one notice a crossing; ledger and provider agree to the micro.

    The provider tells of each charge twice and out of order, and before its own answer; keepers die
    at one step after the other while the calls are settled.
    """
    clock = till.house.clock
    async with running_billing(clock.now_ms()) as billing, listening(till, billing) as shop:
        await shop.set_up(
            trigger_micros=100 * UNIT, amount_micros=150 * UNIT, payment_customer="out-of-order"
        )
        await shop.fund(200 * UNIT)
        processes = await asyncio.gather(
            *(a_process(valkey, n, clock.now_ms()) for n in range(PROCESSES))
        )

        settling = [asyncio.create_task(settle(process)) for process in processes]
        step = 0
        while not all(each.done() for each in settling) or step < LEAST_DEATHS:
            step += 1
            gate = Gate(step % LEAST_DEATHS + 1)
            doomed_till = dataclasses.replace(doomed(gate), payments=shop.payments)
            victim = Victim(doomed_till.recharging.work(), gate)
            await victim.reached()
            await victim.die()
            await drained(shop.house)
            clock.pass_seconds(60)
        await asyncio.gather(*settling)
        for _ in range(3):
            await shop.work()
            clock.pass_seconds(60)

        (charge,) = await shop.charges()
        assert charge.crossing == 1
        assert billing.taken_micros == charge.micros == 150 * UNIT
        assert await shop.balance() == 350 * UNIT - SPENT
        assert await shop.notices() == [("recharge_succeeded", charge.charge_id)]
