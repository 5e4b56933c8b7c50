"""Health: whether the ledger can be written, and what callers of the health service are told."""

from server.health.ledger import LedgerHealth
from server.health.service import LEDGER_SERVICE, HealthService

__all__ = ["LEDGER_SERVICE", "HealthService", "LedgerHealth"]
