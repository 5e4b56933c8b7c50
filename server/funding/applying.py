"""What each kind of request asks of the ledger. Asked again, it moves nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from policy.rating import MAX_WHOLE_NUMBER
from server.funding.errors import FundingRefused, Why
from server.funding.request_rows import FundingRequest
from server.ledger import (
    BalanceTooLarge,
    DirectDebit,
    FundsMissing,
    Ledger,
    LedgerUnavailable,
    LotDue,
    LotUnknown,
    Refund,
    RefundTooLarge,
    RuledOut,
    Superseded,
    TakeBack,
    TopUp,
)

# The ledger answers in a thousandth of this.
LEDGER_SECONDS = 2.0


class Kind(StrEnum):
    """What a request moves."""

    TOP_UP = "top_up"
    CHARGED_TOP_UP = "charged_top_up"
    VOID_LOT = "void_lot"
    DEBIT = "debit"
    REFUND = "refund"
    TRANSFER = "transfer"
    FREEZE = "freeze"
    CLOSE = "close"
    CREDIT_LIMIT = "credit_limit"
    # What a provider took back of a charge, and what came in again of that.
    REVERSAL = "reversal"
    RESTORATION = "restoration"


# These say how the account is, not what moves: of each sort, only the newest one counts.
FREEZING_KINDS = (Kind.FREEZE.value, Kind.CLOSE.value)
LIMITING_KINDS = (Kind.CREDIT_LIMIT.value,)


def is_setting(kind: str) -> bool:
    """Say whether a request tells how an account is to be."""
    return kind in FREEZING_KINDS + LIMITING_KINDS


def settings_like(kind: str) -> tuple[str, ...]:
    """Name the kinds of settings that supersede one of this kind, and are superseded by it."""
    return FREEZING_KINDS if kind in FREEZING_KINDS else LIMITING_KINDS


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """Bound what the ledger is waited for. Raises `LedgerUnavailable`."""
    try:
        async with asyncio.timeout(LEDGER_SECONDS):
            yield
    except TimeoutError as error:
        raise LedgerUnavailable("no answer in time") from error


# Of these a transfer is refused before anything has left.
_BEFORE_IT_LEAVES = frozenset({Why.FUNDS_MISSING, Why.CURRENCIES_DIFFER})

# A tenant, and the id of a lot, debit or refund of its account.
Change = tuple[str, str]


def changes_of(request: FundingRequest) -> tuple[Change, ...]:
    """Name what a request makes in accounts, in the order in which it is made."""
    tenant_id, body = request.tenant_id, request.body
    match request.kind:
        case Kind.TOP_UP | Kind.RESTORATION:
            return ((tenant_id, body["lot_id"]),)
        case Kind.DEBIT:
            return ((tenant_id, body["debit_id"]),)
        case Kind.REVERSAL:
            return ((tenant_id, body["taking_id"]),)
        case Kind.REFUND:
            return tuple((tenant_id, refund_id) for refund_id, _, _ in body["parts"])
        case Kind.TRANSFER:
            return (tenant_id, body["debit_id"]), (body["to_tenant_id"], body["lot_id"])
        case _:
            return ()


def return_of(request: FundingRequest) -> Change:
    """Name the refund by which a refused transfer comes back."""
    return request.tenant_id, f"back:{request.body['debit_id']}"


def may_have_left(request: FundingRequest, why: Why) -> bool:
    """Say whether a request that was refused when it was tried first has moved something."""
    return request.kind == Kind.TRANSFER and why not in _BEFORE_IT_LEAVES


def all_changes_of(request: FundingRequest) -> tuple[Change, ...]:
    """Name also what is made where it is refused in the end."""
    back = (return_of(request),) if request.kind == Kind.TRANSFER else ()
    return changes_of(request) + back


# What a refusal is told as of which nothing is known but that it was one.
_REFUSED_AS = {
    Kind.TOP_UP: Why.MAX_BALANCE,
    Kind.RESTORATION: Why.LOT_DUE,
    Kind.DEBIT: Why.FUNDS_MISSING,
    Kind.REFUND: Why.REFUND_TOO_LARGE,
    Kind.TRANSFER: Why.FUNDS_MISSING,
}


@dataclass(frozen=True, slots=True)
class Applying:
    """Asks the ledger. Raises `FundingRefused`, and what the ledger raises.

    `made` is what the archive has seen made already, which the ledger may have forgotten since.
    What was `answered` as done is debited also where the money has gone meanwhile: it is owed.
    """

    ledger: Ledger
    made: frozenset[Change] = frozenset()
    answered: bool = False

    async def undo(self, request: FundingRequest) -> bool:
        """See to it that a refused request never moves anything, whoever comes late with it.

        What had left of a transfer comes back. False where it was done meanwhile: then it is to be
        applied, as what was answered as done.
        """
        if request.kind == Kind.TRANSFER:
            return await self._turn_back(request)
        changes = changes_of(request)
        return not changes or await self._rule_out(changes[0])

    async def _turn_back(self, request: FundingRequest) -> bool:
        # Nothing may arrive any more before it is given back.
        left, arrived = changes_of(request)
        if not await self._rule_out(arrived):
            return False
        back = return_of(request)
        if back not in self.made and not await self._rule_out(left):
            debit_id = "" if left in self.made else left[1]
            refund = Refund(*back, "", request.body["micros"], debit_id=debit_id)
            await self.ledger.refund(refund)
        return True

    async def _rule_out(self, change: Change) -> bool:
        return change not in self.made and await self.ledger.rule_out(*change)

    async def apply(self, request: FundingRequest) -> dict[str, Any]:
        """Do what a request says; the result is what its caller is told."""
        steps: Mapping[str, Callable[[FundingRequest], Awaitable[None]]] = {
            Kind.TOP_UP: self._top_up,
            Kind.CHARGED_TOP_UP: self._leave_to_its_charge,
            Kind.VOID_LOT: self._void_lot,
            Kind.DEBIT: self._debit,
            Kind.REFUND: self._refund,
            Kind.TRANSFER: self._transfer,
            Kind.FREEZE: self._freeze,
            Kind.CLOSE: self._freeze,
            Kind.CREDIT_LIMIT: self._limit,
            Kind.REVERSAL: self._take_back,
            Kind.RESTORATION: self._restore,
        }
        try:
            await steps[request.kind](request)
        except RuledOut as error:
            text = "It was refused before, and why was lost. Nothing was moved."
            raise FundingRefused(_REFUSED_AS[Kind(request.kind)], text) from error
        return dict(request.body)

    async def _top_up(self, request: FundingRequest) -> None:
        await self._add_lot(request, request.tenant_id)

    async def _restore(self, request: FundingRequest) -> None:
        # It is the tenant's own: what does not fit yet waits until it does.
        await self._put_in(request, request.tenant_id)

    async def _add_lot(self, request: FundingRequest, tenant_id: str) -> None:
        try:
            await self._put_in(request, tenant_id)
        except BalanceTooLarge as error:
            raise _too_large() from error

    async def _put_in(self, request: FundingRequest, tenant_id: str) -> None:
        body = request.body
        if (tenant_id, body["lot_id"]) in self.made:
            return
        try:
            await self.ledger.top_up(
                TopUp(tenant_id, body["lot_id"], body["micros"], body["expire_ms"])
            )
        except LotDue as error:
            raise _due() from error

    async def _leave_to_its_charge(self, request: FundingRequest) -> None:
        """Move nothing: the charge that was written down with it goes its own way."""

    async def _void_lot(self, request: FundingRequest) -> None:
        lot_id = request.body["lot_id"]
        try:
            await self.ledger.void_lot(request.tenant_id, lot_id)
        except LotUnknown as error:
            text = f"There is no lot {lot_id} in this account."
            raise FundingRefused(Why.LOT_UNKNOWN, text, {"lot_id": lot_id}) from error

    async def _take_back(self, request: FundingRequest) -> None:
        body = request.body
        if (request.tenant_id, body["taking_id"]) in self.made:
            return
        await self.ledger.take_back(
            TakeBack(request.tenant_id, body["taking_id"], body["lot_id"], body["micros"])
        )

    async def _debit(self, request: FundingRequest) -> None:
        body = request.body
        if (request.tenant_id, body["debit_id"]) in self.made:
            return
        overdraft = MAX_WHOLE_NUMBER if self.answered else body["overdraft_micros"]
        try:
            await self.ledger.debit(
                DirectDebit(request.tenant_id, body["debit_id"], body["micros"], overdraft)
            )
        except FundsMissing as error:
            raise FundingRefused(
                Why.FUNDS_MISSING,
                "The account has less than that which no running call holds. Nothing was taken.",
                {"shortfall_micros": str(error.shortfall_micros)},
            ) from error

    async def _refund(self, request: FundingRequest) -> None:
        body, is_first = request.body, True
        for refund_id, lot_id, micros in body["parts"]:
            refund = Refund(
                *(request.tenant_id, refund_id, lot_id, micros),
                invoiced=not lot_id and body.get("invoiced", False),
                spend_field=body.get("spend_field", ""),
            )
            # What was begun is finished: only the first part can still be refused.
            with _refusing() if is_first else nullcontext():
                if (request.tenant_id, refund_id) not in self.made:
                    await self.ledger.refund(refund)
            is_first = False

    async def _transfer(self, request: FundingRequest) -> None:
        body = request.body
        receiver = body["to_tenant_id"]
        # Asked before anything moves: money that left must be able to arrive.
        there = await self.ledger.read_balance(receiver)
        if there.currency != body["currency"]:
            text = f"{receiver} is kept in {there.currency}; money moves within one currency."
            raise FundingRefused(Why.CURRENCIES_DIFFER, text, {"currency_code": there.currency})
        await self._debit(request)
        await self._add_lot(request, receiver)

    async def _freeze(self, request: FundingRequest) -> None:
        with _in_order():
            await self.ledger.freeze(
                request.tenant_id, frozen=request.body["frozen"], asked_ms=request.accept_ms
            )

    async def _limit(self, request: FundingRequest) -> None:
        with _in_order():
            await self.ledger.set_credit_limit(
                request.tenant_id, request.body["micros"], asked_ms=request.accept_ms
            )


def _due() -> FundingRefused:
    text = "What was to come in would have expired before it came. Nothing was moved."
    return FundingRefused(Why.LOT_DUE, text)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except RefundTooLarge as error:
        text = "More than was ever debited cannot be given back."
        raise FundingRefused(Why.REFUND_TOO_LARGE, text) from error
    except BalanceTooLarge as error:
        raise _too_large() from error


def _too_large() -> FundingRefused:
    text = "The account cannot hold so much: spend or debit of it first, or move less at once."
    return FundingRefused(Why.MAX_BALANCE, text, {"max_balance_micros": str(MAX_WHOLE_NUMBER)})


@contextmanager
def _in_order() -> Iterator[None]:
    try:
        yield
    except Superseded as error:
        raise superseded() from error


def superseded() -> FundingRefused:
    """Tell who asked for what somebody set otherwise since."""
    text = "A newer request set this otherwise before this one was done. It changed nothing."
    return FundingRefused(Why.SUPERSEDED, text)
