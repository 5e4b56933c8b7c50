"""Health: whether the ledger can be written, and what callers of the health service are told."""

from server.health.ledger import LedgerHealth
from server.health.service import ACCOUNTS_SERVICE, LEDGER_SERVICE, HealthService

__all__ = ["ACCOUNTS_SERVICE", "LEDGER_SERVICE", "HealthService", "LedgerHealth"]
