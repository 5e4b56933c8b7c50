"""Requests for money to move: accepted once by their id, applied to the ledger, answered alike.

A request is written to the archive before the ledger is asked, so that a crash between the two
loses nothing: whoever finds it left behind applies it again, which moves nothing twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from server.funding.applying import (
    Applying,
    Kind,
    all_changes_of,
    in_time,
    is_setting,
    may_have_left,
    settings_like,
    superseded,
)
from server.funding.charge_rows import pending_charges
from server.funding.errors import FundingBusy, FundingRefused, FundingReused
from server.funding.funding_rows import (
    FundingRow,
    account_currency,
    hold_funding,
    read_funding,
    save_funding,
)
from server.funding.request_rows import (
    Ending,
    FundingRequest,
    RequestState,
    add_request,
    changes_archived,
    claim_request,
    find_request,
    finish_request,
    newest_of,
    note_refusal,
    pending_top_ups,
)
from server.ledger import CurrencyChanged, Ledger, fingerprint
from server.storage.sql.audit import Audited, AuditTrail
from server.storage.sql.database import Database

# Who does not finish a request for this long is taken for dead.
CLAIM_MS = 10_000
# A purchase that is begun anew because the account moved meanwhile; then the caller asks again.
_MOST_BEGINNINGS = 5
_CLAIM_BYTES = 8

Settle = Callable[[Connection, FundingRow], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller asks. `content` tells two requests of one id apart; `settle` checks it.

    `settle` runs in the transaction that accepts the request, with the tenant's row held; it gives
    the body, or raises `FundingRefused`, which is then this id's answer for good.
    """

    tenant_id: str
    request_id: str
    kind: Kind
    identity_id: str
    content: Mapping[str, str]
    settle: Settle
    reference: str = ""
    # Of the amounts it names; empty where it names none.
    currency: str = ""


class _Moved(Exception):
    """The account moved between looking at it and deciding."""


@dataclass(slots=True)
class FundingRequests:
    """Takes requests. All methods raise `ArchiveUnavailable` and what the ledger raises."""

    database: Database
    ledger: Ledger
    audit: AuditTrail
    now_ms: Callable[[], int]
    applying: Applying = field(init=False)

    def __post_init__(self) -> None:
        self.applying = Applying(self.ledger)

    async def ask(self, asked: Asked) -> FundingRequest:
        """Do what is asked, once for its id; the same again gets the same answer.

        Raises `FundingRefused`, `FundingReused` and `FundingBusy`, and `CurrencyChanged` where
        amounts are not of the account's currency: then nothing is written down.
        """
        claim = secrets.token_hex(_CLAIM_BYTES)
        request = await self.database.write(lambda c: self._accept(c, asked, claim))
        return _told(await self.go_on(request, claim))

    async def purchase(
        self, asked: Asked, check: Callable[[FundingRow, int], None]
    ) -> FundingRequest:
        """Do the same where the balance has a say.

        `check` is given the tenant's row and its balance, what is pending included, and raises
        `FundingRefused`.
        """
        for _ in range(_MOST_BEGINNINGS):
            seen = await self.database.read(lambda c: read_funding(c, asked.tenant_id))
            balance_micros = await self.balance_micros(asked.tenant_id, asked.currency)

            def settle(
                connection: Connection,
                row: FundingRow,
                *,
                version: int = seen.version,
                balance: int = balance_micros,
            ) -> Mapping[str, Any]:
                if row.version != version:
                    raise _Moved
                check(row, balance + pending_micros(connection, asked.tenant_id))
                return asked.settle(connection, row)

            try:
                return await self.ask(replace(asked, settle=settle))
            except _Moved:
                continue
        raise FundingBusy

    async def balance_micros(self, tenant_id: str, currency: str = "") -> int:
        """Read what is not spent yet, in micros; 0 where money never came in.

        Raises `CurrencyChanged` where that is not of the currency that was named.
        """
        async with in_time():
            balance = await self.ledger.read_balance(tenant_id)
        if currency not in {"", balance.currency}:
            raise CurrencyChanged(tenant_id, balance.currency, currency)
        return balance.balance_micros or 0

    async def go_on(self, request: FundingRequest, claim: str) -> FundingRequest:
        """Apply a request that one has claimed, and write down how it ended."""
        if request.state is not RequestState.ACCEPTED:
            return request
        if request.outcome:
            return await self._refuse(replace(request, claim=claim), claim)
        try:
            if is_setting(request.kind):
                await self.database.read(lambda c: require_newest(c, request))
            applying = await self._knowing(request)
            async with in_time():
                outcome = await applying.apply(request)
        except FundingRefused as refused:
            return await self._refused(request, claim, refused)
        end = Ending(RequestState.APPLIED, outcome, self.now_ms())
        return await self.database.write(lambda c: self.finish(c, request, claim=claim, end=end))

    async def _refused(
        self, request: FundingRequest, claim: str, refused: FundingRefused
    ) -> FundingRequest:
        told = refused.outcome()
        if self._is_first_try(request) and not may_have_left(request, refused.why):
            end = Ending(RequestState.REFUSED, told, self.now_ms())
            return await self.database.write(
                lambda c: self.finish(c, request, claim=claim, end=end)
            )
        request = await self.database.write(
            lambda c: note_refusal(c, request, claim=claim, outcome=told)
        )
        return await self._refuse(request, claim)

    async def _refuse(self, request: FundingRequest, claim: str) -> FundingRequest:
        """Refuse a request for good, of which it is written down why.

        Whoever comes late with it, and whatever changes meanwhile, moves nothing; and what had
        left comes back. It is applied where somebody who was late had done it by now.
        """
        if request.state is not RequestState.ACCEPTED:
            return request
        if request.claim != claim:
            raise FundingBusy
        applying = await self._knowing(request)
        async with in_time():
            is_undone = await applying.undo(request)
        came_back = request.kind == Kind.TRANSFER
        end = Ending(RequestState.REFUSED, request.outcome, self.now_ms(), came_back)
        if not is_undone:
            try:
                async with in_time():
                    outcome = await replace(applying, answered=True).apply(request)
            except FundingRefused as refused:
                # The store fell back in between: whoever finds it looks again.
                raise FundingBusy from refused
            end = Ending(RequestState.APPLIED, outcome, self.now_ms())
        return await self.database.write(lambda c: self.finish(c, request, claim=claim, end=end))

    def _is_first_try(self, request: FundingRequest) -> bool:
        # Nobody else tries before this one's claim is over.
        return self.now_ms() - request.accept_ms < CLAIM_MS

    async def _knowing(self, request: FundingRequest) -> Applying:
        """Look up what was made of a request that was left behind: the ledger forgets in time."""
        if self._is_first_try(request):
            return self.applying
        made = await self.database.read(lambda c: changes_archived(c, all_changes_of(request)))
        return replace(self.applying, made=made)

    def finish(
        self, connection: Connection, request: FundingRequest, *, claim: str, end: Ending
    ) -> FundingRequest:
        """Write down how a request ended, in a transaction of the caller's."""
        row = hold_funding(connection, request.tenant_id)
        finished = finish_request(connection, request, claim=claim, end=end)
        save_funding(connection, row)
        return finished

    def _accept(self, connection: Connection, asked: Asked, claim: str) -> FundingRequest:
        row = hold_funding(connection, asked.tenant_id)
        found = find_request(connection, asked.tenant_id, asked.request_id)
        stamp = fingerprint([("kind", asked.kind.value), *sorted(asked.content.items())])
        if found is not None:
            return self._found(connection, found, stamp, claim=claim)
        if asked.currency:
            require_currency(connection, asked.tenant_id, asked.currency)
        request = self._settled(connection, row, asked, claim=claim)
        add_request(connection, replace(request, fingerprint=stamp))
        if asked.kind is Kind.CLOSE:
            row.closed = True
        save_funding(connection, row)
        self.audit.record(
            connection,
            asked.identity_id,
            Audited(asked.kind.value, f"tenants/{asked.tenant_id}/credits", asked.tenant_id),
            before=None,
            after={**_told_plainly(asked.content), "state": request.state.value},
        )
        return request

    def _found(
        self, connection: Connection, found: FundingRequest, stamp: str, *, claim: str
    ) -> FundingRequest:
        if found.fingerprint != stamp:
            raise FundingReused
        now_ms = self.now_ms()
        if found.state is RequestState.ACCEPTED and not claim_request(
            connection, found, claim, until_ms=now_ms + CLAIM_MS, now_ms=now_ms
        ):
            raise FundingBusy
        return found

    def _settled(
        self, connection: Connection, row: FundingRow, asked: Asked, *, claim: str
    ) -> FundingRequest:
        now_ms = self.now_ms()
        request = FundingRequest(
            tenant_id=asked.tenant_id,
            request_id=asked.request_id,
            kind=asked.kind.value,
            fingerprint="",
            body={},
            state=RequestState.ACCEPTED,
            outcome={},
            identity_id=asked.identity_id,
            accept_ms=_accept_ms(connection, asked, now_ms),
            claim=claim,
            claim_until_ms=now_ms + CLAIM_MS,
            reference=asked.reference,
        )
        try:
            return replace(request, body=asked.settle(connection, row))
        except FundingRefused as refused:
            return replace(
                request,
                state=RequestState.REFUSED,
                outcome=refused.outcome(),
                finish_ms=now_ms,
                archived=True,
            )


def pending_micros(connection: Connection, tenant_id: str) -> int:
    """Sum up what is on its way to a tenant, in micros."""
    return pending_top_ups(connection, tenant_id) + pending_charges(connection, tenant_id)


def require_currency(connection: Connection, tenant_id: str, said: str) -> None:
    """Let nobody say money of another currency than the account holds. Raises `CurrencyChanged`."""
    holds = account_currency(connection, tenant_id)
    if holds not in {"", said}:
        raise CurrencyChanged(tenant_id, holds, said)


def require_newest(connection: Connection, request: FundingRequest) -> None:
    """Refuse a setting that a newer request of its sort supersedes. Raises `FundingRefused`."""
    newest = newest_of(connection, request.tenant_id, settings_like(request.kind))
    if newest is not None and newest.request_id != request.request_id:
        raise superseded()


def _accept_ms(connection: Connection, asked: Asked, now_ms: int) -> int:
    # Of requests that supersede each other, each is later than the one before, whatever the clock.
    if not is_setting(asked.kind):
        return now_ms
    newest = newest_of(connection, asked.tenant_id, settings_like(asked.kind))
    return now_ms if newest is None else max(now_ms, newest.accept_ms + 1)


def _told_plainly(content: Mapping[str, str]) -> dict[str, Any]:
    """Give a request's content for people to read: its texts of truth and of nothing as JSON's."""
    words: dict[str, Any] = {"True": True, "False": False, "None": None}
    return {name: words.get(value, value) for name, value in content.items()}


def _told(request: FundingRequest) -> FundingRequest:
    if request.state is RequestState.REFUSED:
        raise FundingRefused.of(request.outcome)
    return request
