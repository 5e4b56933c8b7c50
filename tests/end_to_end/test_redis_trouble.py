"""A Redis that hangs, dies, comes back, takes no writes or is full: never a grant without it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from engines import (
    Engine,
    Failed,
    OwnRedis,
    a_question,
    failure_of,
    running_engine,
    running_redis,
    wait_until,
)

CREDITS_CALL = "+390612345678"
BACK_SECONDS = 2.0
# What a busy machine may add to a deadline.
SLACK_SECONDS = 0.4


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    with running_redis(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


@pytest.fixture(scope="module")
def engine(redis: OwnRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running_engine(tmp_path_factory.mktemp("engine"), redis_url=redis.url) as engine:
        yield engine


@pytest.fixture(autouse=True)
def _ready(engine: Engine) -> None:
    wait_until(engine.has_ledger)


def asked_and_failed(engine: Engine, seconds: float = 5.0) -> tuple[Failed, float]:
    started = time.monotonic()
    failed = failure_of(lambda: engine.ask(a_question(CREDITS_CALL), seconds))
    return failed, time.monotonic() - started


def reserved(engine: Engine) -> int:
    return engine.balance("contoso").reserved.micros


def journal_entries(redis: OwnRedis) -> int:
    """Count what was ever written: the keeper takes entries away that are in the archive."""
    infos = [redis.command("XINFO", "STREAM", key) for key in redis.command("KEYS", "*:journal")]
    return sum(info[info.index(b"entries-added") + 1] for info in infos)


def answers(engine: Engine) -> bool:
    try:
        return engine.ask(a_question(CREDITS_CALL)).HasField("grant")
    except grpc.RpcError:
        return False


def assert_unavailable(failed: Failed) -> None:
    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "LEDGER_UNAVAILABLE")


def test_a_redis_that_hangs_is_answered_for_within_the_caller_s_deadline(
    engine: Engine, redis: OwnRedis
) -> None:
    """C7, E7: a failure in time, and emergencies are granted."""
    with redis.frozen():
        failed, took = asked_and_failed(engine, seconds=0.2)
        emergency = engine.ask(a_question("911", user_id="frank"))

    # On a busy machine the caller may give up in the moment in which it is told.
    assert failed.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert took < 0.2 + SLACK_SECONDS
    assert emergency.grant.emergency


def test_a_redis_that_hangs_is_answered_for_within_the_engine_s_deadline(
    engine: Engine, redis: OwnRedis
) -> None:
    with redis.frozen():
        failed, took = asked_and_failed(engine, seconds=30.0)

    assert_unavailable(failed)
    assert took < 0.5 + SLACK_SECONDS


def test_once_known_to_be_away_redis_is_not_waited_for(engine: Engine, redis: OwnRedis) -> None:
    with redis.frozen():
        wait_until(lambda: engine.health("callgate.ledger") == "NOT_SERVING")
        started = time.monotonic()
        failures = [asked_and_failed(engine)[0] for _ in range(20)]
        took = time.monotonic() - started
        assert engine.health() == "SERVING"

    for failed in failures:
        assert_unavailable(failed)
    assert took < 1.0
    assert wait_until(lambda: answers(engine)) < BACK_SECONDS


def test_a_hanging_redis_leaves_one_reservation_for_a_question_asked_again(
    engine: Engine, redis: OwnRedis
) -> None:
    question = a_question(CREDITS_CALL)
    before = reserved(engine)
    with redis.frozen():
        assert_unavailable(failure_of(lambda: engine.ask(question)))
    wait_until(lambda: answers(engine))
    held_by_others = reserved(engine)

    answer = engine.ask(question)

    held = answer.grant.segments[0].held.micros
    assert held > 0
    assert engine.ask(question) == answer
    assert reserved(engine) in {held_by_others, held_by_others + held}
    assert reserved(engine) > before


def test_a_redis_that_was_killed_is_back_within_two_seconds_of_its_return(
    engine: Engine, redis: OwnRedis
) -> None:
    """C5: without a restart of the engine; readiness goes and comes back."""
    question = a_question(CREDITS_CALL)
    first = engine.ask(question)

    redis.kill()
    failed, took = asked_and_failed(engine)
    assert engine.ask(a_question("911", user_id="frank")).grant.emergency
    wait_until(lambda: engine.health("callgate.ledger") == "NOT_SERVING")
    assert engine.health() == "SERVING"
    redis.start()

    assert_unavailable(failed)
    assert took < 0.5 + SLACK_SECONDS
    assert wait_until(lambda: answers(engine)) < BACK_SECONDS
    assert engine.health("callgate.ledger") == "SERVING"
    assert engine.ask(question) == first


def test_a_redis_that_turned_replica_grants_nothing_until_it_takes_writes_again(
    engine: Engine, redis: OwnRedis
) -> None:
    """C6: it fails fast, and is written to again as soon as that is possible."""
    entries = journal_entries(redis)
    redis.command("REPLICAOF", "127.0.0.1", "1")
    failed, took = asked_and_failed(engine)
    wait_until(lambda: engine.health("callgate.ledger") == "NOT_SERVING")
    assert journal_entries(redis) == entries
    redis.command("REPLICAOF", "NO", "ONE")

    assert_unavailable(failed)
    assert took < 0.5 + SLACK_SECONDS
    assert wait_until(lambda: answers(engine)) < BACK_SECONDS


def test_a_redis_that_is_full_grants_nothing(engine: Engine, redis: OwnRedis) -> None:
    """B9: an error, and no entry."""
    entries = journal_entries(redis)
    redis.command("CONFIG", "SET", "maxmemory", "1")
    try:
        failed, _ = asked_and_failed(engine)
        assert journal_entries(redis) == entries
    finally:
        redis.command("CONFIG", "SET", "maxmemory", "0")

    assert_unavailable(failed)
    assert wait_until(lambda: answers(engine)) < BACK_SECONDS


def test_connections_cut_in_mid_question_cost_nothing_but_an_answer(
    engine: Engine, redis: OwnRedis
) -> None:
    question = a_question(CREDITS_CALL)
    engine.ask(question)
    before = reserved(engine)

    redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait_until(lambda: answers(engine))

    assert engine.ask(question).grant.segments[0].held.micros > 0
    assert reserved(engine) >= before


def test_an_engine_starts_without_its_redis_and_finds_it_later(
    redis: OwnRedis, tmp_path: Path
) -> None:
    late = OwnRedis(tmp_path / "redis")

    with running_engine(tmp_path / "engine", redis_url=late.url) as engine:
        assert engine.ask(a_question("911", user_id="frank")).grant.emergency
        assert_unavailable(asked_and_failed(engine)[0])
        assert (engine.health(), engine.health("callgate.ledger")) == ("SERVING", "NOT_SERVING")
        late.start()
        took = wait_until(lambda: answers(engine))
    late.kill()

    assert took < BACK_SECONDS


def test_a_redis_that_may_drop_keys_is_not_used(redis: OwnRedis, tmp_path: Path) -> None:
    redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    engine = Engine(tmp_path, redis_url=redis.url)
    engine.launch()
    try:
        assert engine.gone() == 1
    finally:
        redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")

    assert "noeviction" in engine.log


def test_a_redis_that_begins_to_drop_keys_is_told_as_away_until_it_does_not(
    engine: Engine, redis: OwnRedis
) -> None:
    redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        wait_until(lambda: engine.health("callgate.ledger") == "NOT_SERVING")
    finally:
        redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")

    wait_until(lambda: engine.health("callgate.ledger") == "SERVING")
    assert "maxmemory-policy is allkeys-lru" in engine.log


def test_a_store_that_was_emptied_holds_no_account(engine: Engine, redis: OwnRedis) -> None:
    redis.command("FLUSHALL")

    failed = failure_of(lambda: engine.ask(a_question(CREDITS_CALL)))

    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "ACCOUNT_UNKNOWN")
    assert failed.metadata == {"tenant_id": "contoso"}
    assert "redis.sock" in failed.text
