"""From a function's reply that tells of trouble to the error that the ledger raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from server.ledger.trouble import (
    AccountUnknown,
    CallAnswered,
    CallOver,
    CallUnknown,
    FactsStale,
    FundsMissing,
    LedgerError,
    LedgerUnavailable,
    LotDue,
    LotUnknown,
    PartitionAhead,
    RefundTooLarge,
    RequestReused,
    Superseded,
)

# By the first word of a reply; its second one, if there is one, says more.
_TROUBLE: Mapping[bytes, Callable[[str], LedgerError]] = {
    b"ANSWERED": lambda _: CallAnswered(),
    b"ASIDE": lambda _: LedgerUnavailable("a call id changes hands faster than it can be asked"),
    b"EXPIRE_FIRST": lambda _: LedgerUnavailable("reservations lapse faster than they are freed"),
    b"AHEAD": PartitionAhead,
    b"LOT_DUE": lambda _: LotDue(),
    b"NO_ACCOUNT": AccountUnknown,
    b"NO_CALL": lambda _: CallUnknown(),
    b"NO_LOT": lambda _: LotUnknown(),
    b"OVER": CallOver,
    b"REUSED": lambda _: RequestReused(),
    b"SHORT": lambda shortfall: FundsMissing(int(shortfall)),
    b"STALE": FactsStale,
    b"SUPERSEDED": lambda _: Superseded(),
    b"TOO_MUCH": lambda _: RefundTooLarge(),
}


def raise_trouble(reply: bytes | Sequence[bytes], tenant_id: str) -> None:
    """Raise the error that a reply stands for, if it is no answer."""
    if isinstance(reply, bytes):
        return
    error = _TROUBLE.get(reply[0])
    if error is None:
        return
    raise error(reply[1].decode() if len(reply) > 1 else tenant_id)
