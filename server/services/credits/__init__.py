"""The CreditService: the money of a tenant. See docs/credits.md."""

from __future__ import annotations

from server.credits.parts import CreditParts
from server.credits.service import SERVICE, Credits

__all__ = ["SERVICE", "CreditParts", "Credits"]
