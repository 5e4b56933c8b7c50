"""The store: connections to Redis or Valkey, the embedded server, the clock. It knows no ledger."""

from __future__ import annotations

from server.storage.redis.clock import TOLERANCE_SECONDS, Clock, StoreClock
from server.storage.redis.embedded import EmbeddedServer, EmbeddedServerError
from server.storage.redis.errors import FunctionMissing, StoreRefused, StoreUnavailable, Timeouts
from server.storage.redis.lane import Reply, Template
from server.storage.redis.store import Store
from server.storage.redis.wakeups import WakeUps

__all__ = [
    "TOLERANCE_SECONDS",
    "Clock",
    "EmbeddedServer",
    "EmbeddedServerError",
    "FunctionMissing",
    "Reply",
    "Store",
    "StoreClock",
    "StoreRefused",
    "StoreUnavailable",
    "Template",
    "Timeouts",
    "WakeUps",
]
