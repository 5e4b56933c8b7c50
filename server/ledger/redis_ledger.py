"""The ledger in Redis: each verb one FCALL of `functions/`, one atomic step."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Protocol

from server.ledger import codec as wire
from server.ledger import keys
from server.ledger.answers import Answer, Balance
from server.ledger.errors import CurrencyChanged, LedgerDamaged, LedgerUnavailable, raise_trouble
from server.ledger.expiry import Lapsing
from server.ledger.library import LIBRARY, RESERVE_FIRST, library_code
from server.ledger.prepared_reserve import Listener, PreparedReserve
from server.ledger.requests import (
    CallKey,
    DirectDebit,
    ExtendRequest,
    OpenAccount,
    Question,
    Refund,
    ReserveRequest,
    TakeBack,
    TopUp,
    looking,
)
from server.ledger.store_calls import trouble_of
from server.storage.redis import Clock, FunctionMissing, Store, StoreRefused, StoreUnavailable
from server.storage.redis.references import call_reference

FIRST_EPOCH = 1
EXPIRE_BATCH = 100
_NONCE_BYTES = 10
_MOST_OPENINGS = 20
# Between two steps a call id may be taken over by yet another gateway.
_MOST_ASKINGS = 4

Argument = str | bytes | int


# An account is (tenant, ""), a lot (tenant, lot).
Beginning = tuple[str, str]


class Recovering(Protocol):
    """What stands behind the store: it fills partitions from an archive. See `Recovery`."""

    async def open_partition(self, partition: int) -> None:
        """See to it that a partition is open."""

    def newness(self, partition: int) -> str:
        """Name the place up to which it is known what began in a partition."""

    async def look_for_new(self, partition: int, begun: Sequence[Beginning]) -> str:
        """Name a place up to which nothing of this began, or mend the store."""

    def note_begun(
        self, partition: int, begun: Sequence[Beginning], *, before: str, after: str
    ) -> None:
        """Take note of what began between two places."""

    async def mend(self, partition: int, why: str) -> None:
        """Fill a partition anew in which something is lost."""


class RedisLedger:
    """Keeps every account, call and journal in one Redis or Valkey. See `Ledger`.

    Without `recovery` there is no archive, and a partition begins with its first account. Reports
    may be so far ahead of the time since a call's first grant; None: all are believed.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        recovery: Recovering | None = None,
        *,
        tolerance_seconds: int | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._recovery = recovery
        self._tolerance_seconds = tolerance_seconds
        self._tolerance: Argument = "" if tolerance_seconds is None else tolerance_seconds
        self._lapsing = Lapsing(store, self._expire_one)

    async def install(self) -> None:
        """Load the library of functions and refuse a store that cannot be trusted with money.

        Raises `LedgerUnavailable`; `StoreRefused` says what an operator has to change.
        """
        try:
            await self._store.check()
            await self._store.load_library(library_code())
        except StoreUnavailable as error:
            raise LedgerUnavailable(str(error)) from error

    async def open_account(self, account: OpenAccount) -> int:
        """Open or re-describe one account; say which version of what describes it that is."""
        opening = account.opening_balance_micros
        if opening is not None:
            wire.require_whole(opening_balance_micros=opening)
        recovery = self._recovery
        if recovery is None:
            status, *rest = await self._open(account, place="")
        else:
            status, *rest = await self._open_known(account, recovery)
        if status == b"NO_PARTITION":
            raise LedgerUnavailable("the partition was lost while it was opened")
        if status == b"LOST":
            raise LedgerDamaged("an account")
        if status == b"CURRENCY":
            raise CurrencyChanged(account.tenant_id, rest[0].decode(), account.currency)
        return int(rest[3])

    async def _open_known(self, account: OpenAccount, recovery: Recovering) -> list[bytes]:
        """Open one account; nothing begins of which archive or journal say that it did before."""
        tenant_id, lot_id = account.tenant_id, keys.opening_lot(account.tenant_id)
        partition = keys.partition_of(tenant_id)
        place = recovery.newness(partition)
        reply = [b"NO_PARTITION"]
        # Processes that start at once may take it from each other, each filling it anew.
        for _ in range(_MOST_OPENINGS):
            try:
                reply = await self._open(account, place=place)
            except LedgerDamaged as error:
                await recovery.mend(partition, str(error))
                continue
            if reply[0] == b"NO_PARTITION":
                await recovery.open_partition(partition)
            elif reply[0] == b"LOST":
                await recovery.mend(partition, f"a part of the account of {tenant_id} is gone")
            elif reply[0] == b"NEW":
                begun = [(tenant_id, lot_id), (tenant_id, "")]
                place = await recovery.look_for_new(
                    partition, begun[:1] if reply[1] == b"lot" else begun
                )
            else:
                break
        if reply[0] == b"NEW":
            raise LedgerUnavailable("others are opened faster than it can be seen what is new")
        if reply[0] == b"OK":
            before, after, given, _ = (part.decode() for part in reply[1:])
            begun = [(tenant_id, ""), *([(tenant_id, given)] if given else [])]
            recovery.note_begun(partition, begun, before=before, after=after)
        return reply

    async def _open(self, account: OpenAccount, *, place: str) -> list[bytes]:
        opening = account.opening_balance_micros
        arguments = (
            *(self._now_ms(), _nonce(), keys.tenant_name(account.tenant_id), account.currency),
            *(account.facts_digest, int(account.prepaid)),
            "" if self._recovery else FIRST_EPOCH,
            "" if opening is None else opening,
            *(keys.opening_lot(account.tenant_id), account.opening_expire_ms, place),
        )
        reply: list[bytes] = await self._call("open", keys.keys_of(account.tenant_id), arguments)
        return reply

    async def reserve(self, request: ReserveRequest) -> Answer:
        """Take from the purses in order, once per (call, sequence)."""
        if request.dry_run or request.explanation or wire.is_announced(request):
            return (await self._reserve((request,), "d" if request.dry_run else ""))[0]
        call, arguments = request.question.call, _first_arguments(request)
        function_keys = (*keys.keys_of(call.tenant_id), _call_key(call))
        reply = await self._call(RESERVE_FIRST, function_keys, (self._now_ms(), *arguments))
        if type(reply) is bytes:
            return wire.read_answer(reply, request)
        return (await self._reserve((request,), "", reply))[0]

    def begin_reserve(self, prepared: PreparedReserve, command: bytes, listener: Listener) -> bool:
        """Send a command that was prepared; False where there is no connection for it now.

        `listener` is called with the reply, or with a `StoreUnavailable`. It must not raise.
        """
        return prepared.is_sent(self._store, command, listener)

    async def _reserve(
        self, requests: Sequence[ReserveRequest], mode: str, reply: Any = None
    ) -> list[Answer]:
        # `reply` is what was said of the question so far.
        wire.require_legs(requests)
        first = requests[0].question
        tenant_id = first.call.tenant_id
        function_keys, legs = list(keys.keys_of(tenant_id)), []
        for request in requests:
            function_keys += _leg_keys(request.question.call)
            legs += _leg_arguments(request, self._tolerance_seconds)

        async def ask(mode: str, aside: Sequence[str], holders: Sequence[str]) -> Any:
            head = (self._now_ms(), keys.tenant_name(tenant_id), first.facts_digest, mode)
            return await self._call("reserve", (*function_keys, *aside), (*head, *legs, *holders))

        reply = await ask(mode, (), ()) if reply is None or reply[0] == b"OTHER" else reply
        for _ in range(_MOST_ASKINGS):
            aside: Sequence[str] = ()
            holders: Sequence[str] = ()
            if reply[0] == b"EXPIRE_FIRST":
                await self._expire_all(keys.partition_of(tenant_id))
                mode = mode.upper() or "S"
            elif reply[0] == b"ASIDE":
                aside, holders = _set_aside(requests, reply[1:])
            else:
                break
            reply = await ask(mode, aside, holders)
        raise_trouble(reply, tenant_id)
        answers = [reply] if type(reply) is bytes else reply
        return [
            wire.read_answer(text, request) for text, request in zip(answers, requests, strict=True)
        ]

    async def reserve_many(
        self, requests: Sequence[ReserveRequest], *, all_or_nothing: bool
    ) -> tuple[Answer, ...]:
        """Take for several calls on one account, in one step."""
        return tuple(await self._reserve(requests, "a" if all_or_nothing else ""))

    def extend(self, request: ExtendRequest) -> Awaitable[Answer]:
        """Debit what was used and take more, unless the rules now say no."""
        refusal = "" if request.refusal is None else int(request.refusal)
        limit = "" if request.concurrency_limit is None else request.concurrency_limit
        more: tuple[Argument, ...] = (refusal, request.want_seconds, request.floor_seconds, limit)
        more += (wire.terms_text(request), int(request.last), self._tolerance)
        return self._report("extend", request.question, request.used_seconds, *more)

    def look(self, call: CallKey) -> Awaitable[Answer]:
        """Read a call as it stands, changing nothing."""
        return self._report("release", looking(call), 0)

    def settle(self, question: Question, used_seconds: int) -> Awaitable[Answer]:
        """Debit all that a call used and give back the rest."""
        return self._report("settle", question, used_seconds, self._tolerance)

    def release(self, question: Question) -> Awaitable[Answer]:
        """Give back all a call holds: the called party never answered."""
        return self._report("release", question, 0)

    async def expire(self, tenant_partition: int, limit: int) -> int:
        """Give back what lapsed in one partition, `limit` calls at most; say how many."""
        return await self._lapsing.expire(tenant_partition, self._now_ms(), limit)

    async def top_up(self, lot: TopUp) -> None:
        """Fund an account with a lot, once per lot id."""
        wire.require_money(lot.micros)
        await self._money("top_up", lot.tenant_id, lot.lot_id, lot.micros, lot.expire_ms)

    async def void_lot(self, tenant_id: str, lot_id: str) -> None:
        """Take a lot out of use."""
        await self._money("void_lot", tenant_id, lot_id)

    async def take_back(self, taking: TakeBack) -> int:
        """Void what a provider took back of a lot's price; say how much was there."""
        wire.require_money(taking.micros)
        reply = await self._money(
            "take_back", taking.tenant_id, taking.taking_id, taking.micros, taking.lot_id
        )
        return int(reply[1])

    async def debit(self, debit: DirectDebit) -> None:
        """Take money that no call holds, once per debit id: all of it or nothing."""
        wire.require_money(debit.micros)
        overdraft = "" if debit.overdraft_micros is None else debit.overdraft_micros
        await self._money("debit", debit.tenant_id, debit.debit_id, debit.micros, overdraft)

    async def refund(self, refund: Refund) -> None:
        """Give debited money back, once per refund id."""
        wire.require_money(refund.micros)
        await self._money(
            "refund",
            *(refund.tenant_id, refund.refund_id, refund.micros, refund.lot_id),
            *("1" if refund.invoiced else "", refund.spend_field, refund.debit_id),
        )

    async def rule_out(self, tenant_id: str, change_id: str) -> bool:
        """Let no lot, debit or refund be made by an id any more; False where one was."""
        return bool((await self._money("rule_out", tenant_id, change_id))[0] == b"OK")

    async def freeze(self, tenant_id: str, *, frozen: bool, asked_ms: int | None = None) -> None:
        """Grant nothing more of an account, or again."""
        await self._money("freeze", tenant_id, int(frozen), "" if asked_ms is None else asked_ms)

    async def set_credit_limit(
        self, tenant_id: str, micros: int, *, asked_ms: int | None = None
    ) -> None:
        """Let an account go so far below zero, where its facts allow less."""
        wire.require_whole(credit_limit_micros=micros)
        await self._money("set_limit", tenant_id, micros, "" if asked_ms is None else asked_ms)

    async def _money(self, function: str, tenant_id: str, *more: Argument) -> Any:
        reply = await self._call(
            function,
            keys.keys_of(tenant_id),
            (self._now_ms(), _nonce(), keys.tenant_name(tenant_id), *more),
        )
        raise_trouble(reply, tenant_id)
        return reply

    async def read_balance(self, tenant_id: str) -> Balance:
        """Read one account. Raises `AccountUnknown`."""
        reply = await self._call(
            "balance",
            keys.keys_of(tenant_id),
            (self._now_ms(), _nonce(), keys.tenant_name(tenant_id)),
        )
        raise_trouble(reply, tenant_id)
        return wire.read_balance(tenant_id, reply)

    async def _report(
        self, function: str, question: Question, used_seconds: int, *more: Argument
    ) -> Answer:
        tenant_id = question.call.tenant_id
        of_partition = keys.keys_of(tenant_id)
        call_key = _call_key(question.call)

        def ask(second: str, *of_call: str) -> Awaitable[Any]:
            return self._call(
                function,
                (*of_partition, *of_call),
                (
                    *(self._now_ms(), keys.tenant_name(tenant_id)),
                    question.facts_digest if function == "extend" else "",
                    question.call.gateway_id,
                    *(f"{question.sequence} {question.fingerprint}", question.decision_id),
                    *(used_seconds, second, *more),
                ),
            )

        of_call: tuple[str, ...] = (call_key,)
        reply = await ask("", *of_call)
        if reply[0] == b"NO_CALL":
            # It may be over, and its id another gateway's since.
            of_call = (keys.other_gateway_key(question.call), call_key)
            reply = await ask("", *of_call)
        if reply[0] == b"EXPIRE_FIRST":
            await self._expire_all(keys.partition_of(tenant_id))
            reply = await ask("s", *of_call)
        if type(reply) is not bytes:
            raise_trouble(reply, tenant_id)
        return wire.read_answer(reply)

    async def _expire_all(self, partition: int) -> None:
        # Nobody may be refused over money that nobody holds, however long a keeper was dead.
        while await self.expire(partition, EXPIRE_BATCH):
            continue

    async def _expire_one(self, member: str, now_ms: int) -> int:
        reference, tenant_id = keys.parse_expiry_member(member)
        given_back: int = await self._call(
            "expire",
            (*keys.keys_of(tenant_id), keys.call_key(tenant_id, reference)),
            (now_ms, keys.tenant_name(tenant_id), member, _nonce()),
        )
        return given_back

    async def _call(
        self, function: str, function_keys: Sequence[str], arguments: Iterable[Argument]
    ) -> Any:
        name, arguments = f"{LIBRARY}_{function}", tuple(arguments)
        # By hand: a context manager costs more than the rest of this.
        try:
            try:
                return await self._store.call(name, function_keys, arguments)
            except FunctionMissing:
                # A server that was emptied, or a new primary: it did nothing yet.
                await self._store.load_library(library_code())
                return await self._store.call(name, function_keys, arguments)
        except (StoreUnavailable, StoreRefused) as error:
            raise trouble_of(error) from error

    def _now_ms(self) -> int:
        try:
            return self._clock.now_ms()
        except StoreUnavailable as error:
            raise LedgerUnavailable(str(error)) from error


def _call_key(call: CallKey) -> str:
    return keys.call_key_stem(call.tenant_id) + call_reference(call.tenant_id, call.call_id)


def _leg_keys(call: CallKey) -> tuple[str, str]:
    return _call_key(call), keys.other_gateway_key(call)


def _set_aside(
    requests: Sequence[ReserveRequest], holders: Sequence[bytes]
) -> tuple[list[str], list[str]]:
    # The keys for records of calls that are over, whose ids are taken, and whose they are.
    names = [holder.decode() for holder in holders]
    calls = [
        request.question.call._replace(gateway_id=name or request.question.call.gateway_id)
        for request, name in zip(requests, names, strict=True)
    ]
    listed = "".join(f"{name}{wire.GROUP}" for name in names)
    return [keys.other_gateway_key(call) for call in calls], [listed]


def _first_arguments(request: ReserveRequest) -> tuple[Argument, ...]:
    question = request.question
    call = question.call
    return (
        *(wire.alike_text(request), call.gateway_id, f"{question.sequence} {question.fingerprint}"),
        *(question.decision_id, request.want_seconds, call.call_id, wire.context_text(request)),
    )


def _leg_arguments(request: ReserveRequest, tolerance_seconds: int | None) -> list[Argument]:
    question, refusal = request.question, request.refusal
    return [
        question.call.gateway_id,
        f"{question.sequence} {question.fingerprint}",
        question.decision_id,
        "" if refusal is None else int(refusal),
        request.want_seconds,
        request.floor_seconds,
        wire.running_text(question.call.tenant_id, request.concurrency),
        wire.facts_text(request),
        request.explanation,
        wire.announced_text(request, tolerance_seconds),
    ]


def _nonce() -> str:
    return secrets.token_hex(_NONCE_BYTES)
