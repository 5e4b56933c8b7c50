"""The store: connections to Redis or Valkey, the embedded server, the clock. It knows no ledger."""

from __future__ import annotations

from server.store.clock import TOLERANCE_SECONDS, Clock, StoreClock
from server.store.connection import Store
from server.store.embedded import EmbeddedServer, EmbeddedServerError
from server.store.lane import Reply, Template
from server.store.trouble import FunctionMissing, StoreRefused, StoreUnavailable, Timeouts
from server.store.wakeups import WakeUps

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
