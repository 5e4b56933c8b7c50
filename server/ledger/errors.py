"""What the ledger raises: mistakes of who asks, and trouble of its own. A refusal is an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence


class AccountMissing(Exception):
    """The store holds no account of a tenant that the directory knows: unknown, not empty.

    With `waits_for` it was not opened yet, and that is why.
    """

    def __init__(self, tenant_id: str, store_name: str, waits_for: str = "") -> None:
        super().__init__(
            f"The account of tenant {tenant_id} is not open yet, and is opened by itself: "
            f"{waits_for}."
            if waits_for
            else f"{store_name} has lost the account of tenant {tenant_id}: it was emptied, or is "
            "another store than before. The account is opened again by itself, with what the "
            "archive and the journal say; see that the archive answers."
        )
        self.tenant_id = tenant_id


class LedgerError(Exception):
    """Anything the ledger could not do."""


class LedgerUnavailable(LedgerError):
    """Redis is away, slow, read-only or full; nothing is known to have happened.

    Ask again with the same sequence.
    """


class PartitionNotOpen(LedgerUnavailable):
    """The store has nothing of this partition: no account was opened in it yet, or it was lost."""

    def __init__(self) -> None:
        super().__init__("the partition is not open")


class LedgerDamaged(LedgerError):
    """A record is not what it must be. Nothing was changed; an operator has to look."""


class AccountUnknown(LedgerError):
    """No account of this tenant was ever opened here; it is unknown, not empty."""


class CurrencyChanged(LedgerError):
    """The account holds money of another currency than its facts say; it was left as it is."""

    def __init__(self, tenant_id: str, holds: str, said: str) -> None:
        super().__init__(
            f"The account of {tenant_id} holds {holds}, and its directory entry says {said}. Money "
            f"of one is not booked as the other: set the entry's currency back to {holds}. For "
            f"money in {said} make a tenant of another id."
        )


class RequestReused(LedgerError):
    """This call and sequence were asked before with another content. Nothing changed."""


class RuledOut(LedgerError):
    """Nothing is made by this id any more: what it was for was refused before."""


class FactsStale(LedgerError):
    """The account knows other facts than the question was decided with; nothing was written."""

    def __init__(self, wanted_digest: str) -> None:
        super().__init__(wanted_digest)
        self.wanted_digest = wanted_digest


class CallUnknown(LedgerError):
    """No such call of this gateway is known: never granted, or gone with the tail of a store."""


class CallAnswered(LedgerError):
    """Use of the call was reported; it can be settled, but not released."""


class DebitUnknown(LedgerError):
    """No debit of this id is known of this account: none was made, or it was lost."""


class LotUnknown(LedgerError):
    """No lot of this id was ever opened in this account."""


class Superseded(LedgerError):
    """Something newer of this kind was done to the account; what is older changes nothing."""


class LotDue(LedgerError):
    """The lot would be over already; nothing was taken in."""


class PartitionAhead(LedgerError):
    """Somebody with a wrong clock carried a partition so far ahead that a new lot would be over.

    Nothing was taken in. The doctor mends it.
    """

    def __init__(self, time_ms: str) -> None:
        super().__init__(f"its partition's time is {time_ms} ms; python -m server doctor mends it")


class BalanceTooLarge(LedgerError):
    """An account can hold no more than 2^53 - 1 micros, nor be funded with 10^18 over its life."""


class FundsMissing(LedgerError):
    """The account has less than was to be taken; nothing was taken."""

    def __init__(self, shortfall_micros: int) -> None:
        super().__init__(str(shortfall_micros))
        self.shortfall_micros = shortfall_micros


class RefundTooLarge(LedgerError):
    """More than was ever debited cannot be given back."""


class CallOver(LedgerError):
    """The call ended before; `state` says how: settled, released, expired or refused."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


# By the first word of a reply; its second one, if there is one, says more.
_TROUBLE: Mapping[bytes, Callable[[str], LedgerError]] = {
    b"ANSWERED": lambda _: CallAnswered(),
    b"ASIDE": lambda _: LedgerUnavailable("a call id changes hands faster than it can be asked"),
    b"EXPIRE_FIRST": lambda _: LedgerUnavailable("reservations lapse faster than they are freed"),
    b"AHEAD": PartitionAhead,
    b"LOT_DUE": lambda _: LotDue(),
    b"NO_ACCOUNT": AccountUnknown,
    b"NO_CALL": lambda _: CallUnknown(),
    b"NO_DEBIT": lambda _: DebitUnknown(),
    b"NO_LOT": lambda _: LotUnknown(),
    b"OVER": CallOver,
    b"REUSED": lambda _: RequestReused(),
    b"RULED_OUT": lambda _: RuledOut(),
    b"SHORT": lambda shortfall: FundsMissing(int(shortfall)),
    b"STALE": FactsStale,
    b"SUPERSEDED": lambda _: Superseded(),
    b"TOO_LARGE": lambda _: BalanceTooLarge(),
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
