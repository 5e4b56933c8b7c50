"""Replies that are lost, and what is asked again: whatever breaks in between, money moves once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import grpc
import pytest

from callgate.v1 import authorization_pb2 as pb
from engines import (
    Engine,
    OwnRedis,
    a_question,
    failure_of,
    running_engine,
    running_redis,
    wait_until,
)
from server.ledger import DirectDebit
from server.ledger.journal.entries import JournalReader
from server.ledger.keys import partition_of
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store, StoreClock
from server.storage.redis.references import call_reference

ITALY = "+390612345678"
MINUTE = 100_000
HANG_SECONDS = 3.0


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    with running_redis(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


@pytest.fixture(scope="module")
def engines(
    redis: OwnRedis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, Engine]]:
    """Two server processes on one Redis, without a keeper: the journal stays whole."""
    shared = {"redis_url": redis.url, "run_keeper": False}
    with (
        running_engine(tmp_path_factory.mktemp("one"), **shared) as one,
        running_engine(tmp_path_factory.mktemp("two"), **shared) as two,
    ):
        yield one, two


@pytest.fixture(autouse=True)
def _ready(engines: tuple[Engine, Engine]) -> None:
    for engine in engines:
        wait_until(engine.has_ledger)


def in_journal(kind: str, call: pb.AuthorizeCallRequest) -> tuple[str, str]:
    """Name the entry of this kind about a call."""
    return kind, call_reference(call.tenant_id, call.call_id)


def a_report(call: pb.AuthorizeCallRequest, used: int, sequence: int = 2) -> pb.SettleCallRequest:
    report = pb.SettleCallRequest(
        tenant_id=call.tenant_id,
        gateway_id=call.gateway_id,
        call_id=call.call_id,
        sequence=sequence,
    )
    report.used_duration.seconds = used
    return report


def settle(engine: Engine, report: pb.SettleCallRequest, seconds: float = 5.0) -> bytes:
    answer = engine.stub.SettleCall(report, timeout=seconds)
    return bytes(answer.SerializeToString(deterministic=True))


def entries(redis: OwnRedis) -> list[tuple[str, str]]:
    """List kinds and calls of contoso's journal."""

    async def read() -> list[tuple[str, str]]:
        store = Store(redis.url)
        found = await JournalReader(store).read(partition_of("contoso"), limit=10_000)
        await store.close()
        return [(entry.kind, entry.fields.get("call", "").split(":")[0]) for entry in found]

    return asyncio.run(read())


def money(engine: Engine, tenant_id: str) -> int:
    return engine.balance(tenant_id).balance.micros


def fund(redis: OwnRedis, tenant_id: str, micros: int) -> None:
    """Leave a tenant this much and no more, as an operator's debit does."""

    async def debit() -> None:
        store = Store(redis.url)
        clock = StoreClock(store)
        await clock.refresh()
        ledger = RedisLedger(store, clock)
        available = (await ledger.read_balance(tenant_id)).available_micros
        assert available is not None
        await ledger.debit(DirectDebit(tenant_id, "leave-little", available - micros))
        await store.close()

    asyncio.run(debit())


@contextmanager
def _setting(redis: OwnRedis, breaks: tuple[str, ...], mends: tuple[str, ...]) -> Iterator[None]:
    redis.command(*breaks)
    try:
        yield
    finally:
        redis.command(*mends)


@contextmanager
def _cut(redis: OwnRedis) -> Iterator[None]:
    """Hold writes back, and cut every connection that waits with one."""
    redis.command("CLIENT", "PAUSE", "600", "WRITE")
    with ThreadPoolExecutor() as threads:
        cutting = threads.submit(_cut_soon, redis)
        yield
        cutting.result()
    redis.command("CLIENT", "UNPAUSE")


def _cut_soon(redis: OwnRedis) -> None:
    # The question is on its way; nothing outside shows when it has arrived.
    time.sleep(0.2)
    redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def _read_only(redis: OwnRedis) -> AbstractContextManager[None]:
    return _setting(redis, ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"))


def _full(redis: OwnRedis) -> AbstractContextManager[None]:
    full, empty = (("CONFIG", "SET", "maxmemory", size) for size in ("1", "0"))
    return _setting(redis, full, empty)


@pytest.mark.parametrize("times", [1, 5])
def test_a_settlement_whose_reply_was_lost_is_one_debit(
    redis: OwnRedis, engines: tuple[Engine, Engine], times: int
) -> None:
    """B1: Redis applies it while nobody listens; asked again at either server, the same bytes."""
    one, _ = engines
    call = a_question(ITALY)
    one.ask(call)
    balance = one.balance("contoso").balance.micros
    report = a_report(call, 42)
    with redis.frozen():
        lost = failure_of(lambda: settle(one, report))
    wait_until(lambda: in_journal("settled", call) in entries(redis))
    for engine in engines:
        wait_until(engine.has_ledger)

    answers = {settle(engine, report) for _ in range(times) for engine in engines}

    assert lost.code is grpc.StatusCode.UNAVAILABLE
    assert len(answers) == 1
    assert entries(redis).count(in_journal("settled", call)) == 1
    assert balance - one.balance("contoso").balance.micros == MINUTE


@pytest.mark.parametrize("breaking", [_read_only, _full, _cut])
def test_a_debit_that_redis_refuses_is_an_error_and_made_once_later(
    redis: OwnRedis,
    engines: tuple[Engine, Engine],
    breaking: Callable[[OwnRedis], AbstractContextManager[None]],
) -> None:
    """B9: -READONLY, no memory, or the connection cut: nothing is granted without an entry."""
    one, _ = engines
    call = a_question(ITALY)
    one.ask(call)
    before = entries(redis)
    with breaking(redis):
        failed = failure_of(lambda: settle(one, a_report(call, 30)))
    after = entries(redis)
    wait_until(one.has_ledger)

    answers = {settle(one, a_report(call, 30)) for _ in range(2)}

    assert failed.code is grpc.StatusCode.UNAVAILABLE
    assert after == before
    assert len(answers) == 1
    assert entries(redis).count(in_journal("settled", call)) == 1


def test_a_server_killed_between_grant_and_reply_leaves_one_reservation(
    redis: OwnRedis, engines: tuple[Engine, Engine], tmp_path: Path
) -> None:
    """B11: SIGKILL once Redis was asked, a restart, the same question: one reservation."""
    one, _ = engines
    question = a_question(ITALY)
    before = one.balance("contoso").reserved.micros
    shared = {"redis_url": redis.url, "run_keeper": False, "deadline_ms": 5_000}
    with running_engine(tmp_path / "killed", **shared) as killed:
        with redis.frozen():
            asked = killed.stub.AuthorizeCall.future(question, timeout=5)
            # The question is on its way; nothing outside shows when it has arrived.
            time.sleep(0.3)
            killed.kill()
        assert asked.exception() is not None
    wait_until(lambda: in_journal("reserved", question) in entries(redis) and one.has_ledger())

    with running_engine(tmp_path / "killed", **shared) as restarted:
        answers = {restarted.ask(question).decision_id for _ in range(2)}
        reserved = restarted.balance("contoso").reserved.micros

    assert len(answers) == 1
    assert entries(redis).count(in_journal("reserved", question)) == 1
    assert reserved - before == MINUTE


def test_a_redis_that_hangs_for_seconds_leaves_no_debit_that_nobody_asked_for(
    redis: OwnRedis, engines: tuple[Engine, Engine]
) -> None:
    """C7: answers or failures in time all the while; afterwards as quick, and no phantom debit."""
    one, _ = engines
    call = a_question(ITALY)
    one.ask(call)
    tenants = {"contoso": "adele", "fabrikam": "gina"}
    before = quickly(one)
    balances = [money(one, tenant_id) for tenant_id in tenants]
    slowest, asked = 0.0, []
    with redis.frozen():
        until = time.monotonic() + HANG_SECONDS
        while time.monotonic() < until:
            for tenant_id, user_id in tenants.items():
                asked.append(a_question(ITALY, tenant_id=tenant_id, user_id=user_id))
                started = time.monotonic()
                failed = failure_of(lambda: one.ask(asked[-1], 1.0))
                slowest = max(slowest, time.monotonic() - started)
                assert failed.code is grpc.StatusCode.UNAVAILABLE
            assert one.ask(a_question("911")).grant.emergency
            time.sleep(0.05)
    wait_until(one.has_ledger)
    after = quickly(one)

    settle(one, a_report(call, 30))

    counts = Counter(entries(redis))
    assert slowest < 1.0
    assert after < 10 * before + 0.1
    assert max(counts[in_journal("reserved", question)] for question in asked) <= 1
    assert not any(counts[in_journal("settled", question)] for question in asked)
    spent = [
        before_micros - money(one, tenant_id)
        for before_micros, tenant_id in zip(balances, tenants, strict=True)
    ]
    assert spent == [MINUTE, 0]


def quickly(engine: Engine) -> float:
    """Tell how long all but the slowest of a hundred questions take, in seconds."""
    times = []
    for _ in range(100):
        started = time.monotonic()
        engine.ask(a_question(ITALY, dry_run=True))
        times.append(time.monotonic() - started)
    return sorted(times)[-2]


def test_fifty_calls_at_two_servers_on_a_limit_of_one_get_one(
    engines: tuple[Engine, Engine],
) -> None:
    """G1: one runs; when it ended, one more may, at whichever server."""

    def ask_all() -> list[pb.AuthorizeCallRequest]:
        questions = [a_question(tenant_id="northwind", user_id="nils") for _ in range(50)]
        asked = [
            engines[number % 2].stub.AuthorizeCall.future(question, timeout=10)
            for number, question in enumerate(questions)
        ]
        answers = [one.result() for one in asked]
        refused = {answer.refusal.reason for answer in answers if answer.HasField("refusal")}
        assert refused == {pb.REASON_CONCURRENT_CALLS}
        return [
            question
            for question, answer in zip(questions, answers, strict=True)
            if answer.HasField("grant")
        ]

    [first] = ask_all()
    settle(engines[1], a_report(first, 1))
    second = ask_all()

    assert len(second) == 1


# Last, for it leaves next to nothing.
def test_thirty_calls_at_two_servers_on_money_for_one_get_one(
    redis: OwnRedis, engines: tuple[Engine, Engine]
) -> None:
    """A1: exactly one is granted, 29 told that credit is short, one minute held, none below 0."""
    fund(redis, "contoso", MINUTE)
    held = engines[0].balance("contoso").reserved.micros
    questions = [a_question(ITALY) for _ in range(30)]

    asked = [
        engines[number % 2].stub.AuthorizeCall.future(question, timeout=10)
        for number, question in enumerate(questions)
    ]
    answers = [one.result() for one in asked]

    balance = engines[0].balance("contoso")
    reasons = Counter(pb.Reason.Name(answer.refusal.reason) for answer in answers)
    assert [
        answer.grant.granted_duration.seconds for answer in answers if answer.HasField("grant")
    ] == [60]
    assert reasons["REASON_CREDITS_EXHAUSTED"] == 29
    assert balance.reserved.micros - held == MINUTE
    assert balance.available.micros == 0
