"""What the ledger answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from policy.reasons import Reason
from server.ledger.requests import Use


class Segment(NamedTuple):
    """A stretch of the call that one purse pays, and what is held of that purse for it."""

    purse_index: int
    from_second: int
    to_second: int
    held_micros: int


class Answer(NamedTuple):
    """What the ledger said, as it was stored; asked again it is the same to the last byte.

    Granted: `segments` are not empty and `reason` is None; they begin where use was reported last.
    Refused: `reason` is set and `shortfall_micros` says what credits would have needed more, 0
    where money was not the matter. Ended: neither, and `state` says how.
    `available_micros` and `pool_left_seconds` are what was left after this answer (None: no such
    purse or no balance). `superseded` marks an answer to a sequence older than the last.
    """

    decision_id: str
    decide_time_ms: int
    segments: tuple[Segment, ...]
    final: bool
    reason: Reason | None
    shortfall_micros: int
    available_micros: int | None
    pool_left_seconds: int | None
    report_by_ms: int
    expire_time_ms: int
    context: str
    explanation: bytes = b""
    superseded: bool = False
    # The state of the call after this answer: live, settled, released, refused or ended.
    state: str = "live"
    # What was reported, and what each purse paid of it.
    used_seconds: int = 0
    uses: tuple[Use, ...] = ()
    # Talked beyond what was granted; and of all that was talked, what no purse could pay.
    overrun_seconds: int = 0
    unpaid_seconds: int = 0
    unpaid_micros: int = 0
    # Reported after the reservation had lapsed.
    late: bool = False
    # Reported beyond what can have passed since the first grant: nobody pays it yet.
    implausible_seconds: int = 0

    @property
    def granted_seconds(self) -> int:
        """Seconds since answer that the call may last on this grant."""
        return self.segments[-1].to_second if self.segments else 0


@dataclass(frozen=True, slots=True)
class Balance:
    """Money of one account. `balance` = available + reserved; None where there is no balance.

    funded + post_paid = available + reserved + debited - refunded + expired + voided, always.
    """

    tenant_id: str
    currency: str
    available_micros: int | None
    reserved_micros: int
    funded_micros: int
    debited_micros: int
    expired_micros: int
    refunded_micros: int = 0
    voided_micros: int = 0
    # Held and debited while the account had no balance: what is invoiced.
    post_paid_micros: int = 0
    # Debited beyond every lot; the next one pays it first.
    owed_micros: int = 0
    # Of what describes the account.
    version: int = 0

    @property
    def balance_micros(self) -> int | None:
        """Money not yet spent."""
        if self.available_micros is None:
            return None
        return self.available_micros + self.reserved_micros
