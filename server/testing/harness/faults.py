"""The faults that a test can set, and a store that has them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from typing_extensions import override

from server.funding.providers import Charge, Declined, PaymentEvent, Payments, Result
from server.funding.providers.minor_units import Counting
from server.storage.redis import Reply, Store, StoreUnavailable
from server.storage.redis.lane import Argument, Lane
from server.storage.redis.routes import Key

_ENDLESS = -1


@dataclass(slots=True)
class Countdown:
    """A fault that happens so many times, or until it is cleared."""

    left: int = 0

    def set(self, times: int) -> None:
        """Let it happen so often; 0 is until it is cleared."""
        self.left = times or _ENDLESS

    def take(self) -> bool:
        """Say whether it happens now."""
        if self.left > 0:
            self.left -= 1
            return True
        return self.left == _ENDLESS


class Faults:
    """What is to go wrong now."""

    def __init__(self) -> None:
        self.store_delay_seconds = 0.0
        self.lost_replies = Countdown()
        self.declined_payments = Countdown()

    @property
    def trouble_store(self) -> bool:
        """Whether the store has any."""
        return bool(self.store_delay_seconds or self.lost_replies.left)

    def clear(self) -> None:
        """Let nothing go wrong."""
        self.store_delay_seconds = 0.0
        self.lost_replies.left = self.declined_payments.left = 0


class FaultyStore(Store):
    """A store that has the faults that are set; without any it is the store itself."""

    def __init__(self, url: str, faults: Faults) -> None:
        super().__init__(url)
        self._faults = faults

    @override
    async def command(self, *parts: Argument) -> Reply:
        """Run one command, late or without its reply where that was set."""
        faults = self._faults
        reply = await super().command(*parts)
        if faults.store_delay_seconds:
            await asyncio.sleep(faults.store_delay_seconds)
        if parts[0] == "FCALL" and faults.lost_replies.take():
            raise StoreUnavailable("the reply was lost (a fault of the harness)")
        return reply

    @override
    def lane_of(self, key: Key) -> Lane | None:
        """Name no lane while there is trouble: all goes by `command` then."""
        return None if self._faults.trouble_store else super().lane_of(key)


class FaultyPayments(Payments):
    """A means of payment that is declined where that was set."""

    def __init__(self, inner: Payments, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    @property
    @override
    def counting(self) -> Counting:
        """As the means of payment counts."""
        return self._inner.counting

    @override
    async def charge(self, charge: Charge) -> Result:
        """Take money, or decline."""
        if self._faults.declined_payments.take():
            return Declined("card_declined", "declined (a fault of the harness)")
        return await self._inner.charge(charge)

    @override
    def read_event(self, body: bytes, headers: Mapping[str, str], now_ms: int) -> PaymentEvent:
        """Believe what the means of payment believes."""
        return self._inner.read_event(body, headers, now_ms)
