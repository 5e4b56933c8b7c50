"""What asking for money to move may run into."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class FundingError(Exception):
    """Anything that money in and out could not do."""


class FundingReused(FundingError):
    """This request id was used for something else before. Nothing was moved."""


class FundingBusy(FundingError):
    """This very request is being worked on. Ask again with the same id."""


class NotArchivedYet(FundingError):
    """What a refund speaks of is in the ledger and not in the archive yet. Ask again."""


class ChargeUnknown(FundingError):
    """The tenant has no such charge."""


class UseUnknown(FundingError):
    """Nothing is, or was, held apart of such a call that is over."""


class Why(StrEnum):
    """Why a request is refused; the first that holds, in this order. Stored with the request."""

    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    FUNDING_MODEL = "FUNDING_MODEL"
    FUNDING_CHANGED = "FUNDING_CHANGED"
    REGION_MISMATCH = "REGION_MISMATCH"
    BELOW_MINIMUM = "BELOW_MINIMUM"
    MAX_BALANCE = "MAX_BALANCE"
    RECHARGE_LIMIT = "RECHARGE_LIMIT"
    RECHARGE_OFF = "RECHARGE_OFF"
    RECHARGE_BURST = "RECHARGE_BURST"
    PAYMENT_DECLINED = "PAYMENT_DECLINED"
    PAYMENTS_OFF = "PAYMENTS_OFF"
    CURRENCIES_DIFFER = "CURRENCIES_DIFFER"
    FUNDS_MISSING = "FUNDS_MISSING"
    LOT_DUE = "LOT_DUE"
    LOT_UNKNOWN = "LOT_UNKNOWN"
    DEBIT_UNKNOWN = "DEBIT_UNKNOWN"
    REFUND_TOO_LARGE = "REFUND_TOO_LARGE"
    CHARGE_SETTLED = "CHARGE_SETTLED"
    SUPERSEDED = "SUPERSEDED"
    IMPLAUSIBLE_SETTLED = "IMPLAUSIBLE_SETTLED"


class FundingRefused(FundingError):
    """What was asked is not done, and will not be for this request id."""

    def __init__(self, why: Why, text: str, metadata: Mapping[str, str] = MappingProxyType({})):
        super().__init__(text)
        self.why = why
        self.metadata = dict(metadata)

    def outcome(self) -> dict[str, Any]:
        """Write it down, to be told again."""
        return {"why": self.why.value, "text": str(self), "metadata": self.metadata}

    @classmethod
    def of(cls, outcome: Mapping[str, Any]) -> FundingRefused:
        """Read what was written down."""
        return cls(Why(outcome["why"]), outcome["text"], outcome["metadata"])
