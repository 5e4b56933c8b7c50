"""The CreditService: the money of a tenant. See docs/credits.md."""

from __future__ import annotations

from server.services.credits.implausible import ImplausibleUses
from server.services.credits.movements import Movements
from server.services.credits.purchases import Purchases
from server.services.credits.reads import Looking
from server.services.credits.recharge_settings import FundingSettings
from server.services.credits.shared import CreditParts

__all__ = ["CreditParts", "FundingSettings", "ImplausibleUses", "Looking", "Movements", "Purchases"]
