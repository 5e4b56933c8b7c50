"""Workers at a till that stop before a step of theirs: they die there, or sleep."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass

from typing_extensions import override

from keepers import Gate
from server.funding.providers import Charge, PaymentEvent, Payments, Result
from server.funding.providers.minor_units import Counting


@dataclass(slots=True)
class GatedPayments(Payments):
    """A provider whose caller dies before it asks, or before it hears the answer."""

    inner: Payments
    gate: Gate

    @property
    @override
    def counting(self) -> Counting:
        return self.inner.counting

    @override
    async def charge(self, charge: Charge) -> Result:
        await self.gate.step()
        result = await self.inner.charge(charge)
        await self.gate.step()
        return result

    @override
    def read_event(self, body: bytes, headers: Mapping[str, str], now_ms: int) -> PaymentEvent:
        return self.inner.read_event(body, headers, now_ms)


class Victim:
    """Work that goes on until it reaches a gate."""

    def __init__(self, work: Awaitable[object], gate: Gate) -> None:
        self._gate = gate
        self._work = asyncio.ensure_future(work)

    async def reached(self) -> bool:
        """Say whether it stands at the gate; False where it came to its end without."""
        self._gate.armed = True
        reaching = asyncio.create_task(self._gate.reached.wait())
        await asyncio.wait({self._work, reaching}, return_when=asyncio.FIRST_COMPLETED)
        reaching.cancel()
        if self._work.done():
            self._work.result()
        return not self._work.done()

    async def die(self) -> None:
        """Let it never go on."""
        self._work.cancel()
        await asyncio.wait({self._work})

    async def wake(self) -> None:
        """Let it go on, long after others have done its work."""
        self._gate.opened.set()
        await self._work
