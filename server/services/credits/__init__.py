"""The CreditService: the money of a tenant. See docs/credits.md."""

from __future__ import annotations

from server.services.credits.service import SERVICE, Credits
from server.services.credits.shared import CreditParts

__all__ = ["SERVICE", "CreditParts", "Credits"]
