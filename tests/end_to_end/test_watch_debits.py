"""Watching debits: every movement once, in order, whatever happens to reader, server and store."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from engines import Engine, OwnRedis, a_question, command, failure_of, running_engine, wait_until
from server.ledger.keys import keys_of
from server.services.debits.stream import MANY_FOLLOWERS
from watching import (
    CREDITS_CALL,
    LEGS,
    TENANT,
    Folded,
    Stream,
    ask_for_legs,
    play_calls,
    small_buffers,
    sums_of,
    watch,
)

CUTS = 100
# Twice the entries that a reader may leave unread, and what small buffers hold on the way.
ROUNDS = 50
JOURNAL = keys_of(TENANT).journal


def read_a_little(stream: Stream, folded: Folded, engine: Engine, chance: random.Random) -> None:
    for response in stream:
        folded.take(response)
        if chance.random() < 0.5:
            return
        if response.HasField("account"):
            # Nothing waits: only what is written from now on comes next.
            engine.ask(a_question(CREDITS_CALL))


def read_until_cancelled(stream: Stream) -> None:
    with contextlib.suppress(grpc.RpcError):
        for _ in stream:
            continue


def take_all(folded: Folded, stream: Stream) -> None:
    for response in stream:
        folded.take(response, since_opened=False)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One engine for all that leave it as they found it."""
    with running_engine(tmp_path_factory.mktemp("engine"), checkpoint_seconds=1) as engine:
        yield engine


def test_a_reader_cut_at_random_folds_to_exactly_the_ledger(
    tmp_path: Path, redis: OwnRedis
) -> None:
    """Two servers on one store, a keeper that trims it; each cut is resumed at either server."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    shared = {
        "redis_url": redis.url,
        "archive_url": f"sqlite:///{tmp_path / 'archive.sqlite'}",
    }
    with (
        running_engine(tmp_path / "one", **shared) as one,
        running_engine(tmp_path / "two", run_keeper=False, **shared) as two,
    ):
        channels = [grpc.insecure_channel(engine.address) for engine in (one, two)]
        playing = play_calls([one.stub, two.stub], chance)
        folded = Folded()
        for _ in range(CUTS):
            stream = watch(chance.choice(channels), cursor=folded.cursor, from_beginning=True)
            for _ in range(chance.randrange(4)):
                next(playing)
            read_a_little(stream, folded, one, chance)
            stream.cancel()

        stream = watch(channels[1], cursor=folded.cursor)
        final = one.balance(TENANT)
        for response in stream:
            folded.take(response)
            if response.HasField("account"):
                break
        for channel in channels:
            channel.close()

    assert folded.debited_micros > 0
    assert folded.sums == sums_of(final), f"seed {seed}"


def test_a_quiet_stream_gets_checkpoints_that_resume_without_replaying(engine: Engine) -> None:
    """Scenario I2."""
    engine.ask(a_question(CREDITS_CALL))
    stream = watch(engine.address, from_beginning=True)
    folded = Folded()

    started = time.monotonic()
    while time.monotonic() - started < 2.2:
        folded.take(next(stream))
    resumed = watch(engine.address, cursor=folded.cursor)
    first = next(resumed)
    engine.ask(a_question(CREDITS_CALL))
    second = next(resumed)

    # Entries, how the account stands, then one checkpoint a second.
    assert 4 <= folded.responses <= 6
    assert not first.entries
    assert first.cursor == folded.cursor
    assert len(second.entries) == 1


def test_a_stream_without_a_cursor_begins_with_what_happens_from_now_on(engine: Engine) -> None:
    engine.ask(a_question(CREDITS_CALL, call_id="before"))
    stream = watch(engine.address)
    checkpoint = next(stream)
    engine.ask(a_question(CREDITS_CALL, call_id="after"))

    response = next(response for response in stream if response.entries)

    assert not checkpoint.entries
    assert checkpoint.account.reserved.micros > 0
    assert [entry.call_id for entry in response.entries] == ["after"]


def test_many_readers_of_a_busy_tenant_get_the_same_without_gap_or_duplicate(
    engine: Engine,
) -> None:
    # One that asks for no compression, among those whose library does.
    plain = grpc.insecure_channel(
        engine.address, [("grpc.compression_enabled_algorithms_bitset", 1)]
    )
    streams = [watch(engine.address) for _ in range(MANY_FOLLOWERS)] + [watch(plain)]
    begun = [next(stream) for stream in streams]
    for _ in range(5):
        ask_for_legs(engine.stub)

    read: list[list[str]] = []
    for stream in streams:
        call_ids: list[str] = []
        while len(call_ids) < 5 * LEGS:
            call_ids += [entry.call_id for entry in next(stream).entries]
        read.append(call_ids)
        stream.cancel()

    assert not any(first.entries for first in begun)
    assert all(call_ids == read[0] for call_ids in read)
    assert len(set(read[0])) == 5 * LEGS


def test_a_stream_of_one_call_has_no_entries_of_others(engine: Engine) -> None:
    stream = watch(engine.address, call_id="mine", from_beginning=True)
    checkpoint = next(stream)
    engine.ask(a_question(CREDITS_CALL, call_id="other"))
    engine.ask(a_question(CREDITS_CALL, call_id="mine"))

    response = next(response for response in stream if response.entries)

    assert not checkpoint.entries
    assert [entry.call_id for entry in response.entries] == ["mine"]


def test_a_stopping_server_ends_streams_with_a_last_checkpoint(tmp_path: Path) -> None:
    """Scenario I7: health says so, every stream gets its last checkpoint, the exit is in time."""
    with running_engine(tmp_path, drain_seconds=5) as engine:
        streams = [watch(engine.address, from_beginning=True) for _ in range(20)]
        folded = [Folded() for _ in streams]
        for one, stream in zip(folded, streams, strict=True):
            while not one.has_account:
                one.take(next(stream))
        engine.ask(a_question(CREDITS_CALL))
        for one, stream in zip(folded, streams, strict=True):
            one.take(next(stream))
        started = time.monotonic()
        engine.process.terminate()
        for one, stream in zip(folded, streams, strict=True):
            for response in stream:
                one.take(response)
        status = engine.gone()
        took_seconds = time.monotonic() - started

    with running_engine(tmp_path) as engine:
        resumed = next(watch(engine.address, cursor=folded[0].cursor))

    assert status == 0
    assert took_seconds < 5
    assert {one.cursor for one in folded} == {folded[0].cursor}
    assert all(one.sums == folded[0].sums and one.reserved_micros > 0 for one in folded)
    assert all(stream.code() is grpc.StatusCode.OK for stream in streams)
    assert not resumed.entries


@pytest.mark.parametrize("cursor", ["!", "QUJD", "x" * 500])
def test_a_cursor_that_is_none_is_named(engine: Engine, cursor: str) -> None:
    failed = failure_of(lambda: next(watch(engine.address, cursor=cursor)))

    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failed.metadata == {"field": "cursor"}


def test_a_cursor_of_another_partition_is_no_cursor(engine: Engine) -> None:
    cursor = next(watch(engine.address, tenant_id="fabrikam")).cursor

    failed = failure_of(lambda: next(watch(engine.address, cursor=cursor)))

    assert failed.metadata == {"field": "cursor"}


def test_an_unknown_tenant_is_not_told_from_a_forbidden_one(engine: Engine) -> None:
    failed = failure_of(lambda: next(watch(engine.address, tenant_id="nobody")))

    assert failed.code is grpc.StatusCode.PERMISSION_DENIED


def test_what_the_keeper_has_archived_is_read_from_the_archive(engine: Engine) -> None:
    for number in range(5):
        engine.ask(a_question(CREDITS_CALL, call_id=f"archived-{number}"))
    wait_until(lambda: command(engine.store, "XLEN", JOURNAL) == 1)
    folded = Folded()

    for response in watch(engine.address, from_beginning=True):
        folded.take(response)
        if response.HasField("account"):
            break

    found = [entry.call_id for entry in folded.entries if "archived" in entry.call_id]
    assert found == [f"archived-{number}" for number in range(5)]
    assert folded.sums == sums_of(engine.balance(TENANT))


def test_a_store_that_was_filled_anew_ends_streams_with_a_snapshot(tmp_path: Path) -> None:
    with running_engine(tmp_path) as engine:
        _let_the_store_be_filled_anew(engine)


def _let_the_store_be_filled_anew(engine: Engine) -> None:
    engine.ask(a_question(CREDITS_CALL))
    stream = watch(engine.address)
    next(stream)
    wait_until(lambda: command(engine.store, "XLEN", JOURNAL) == 1)
    old_cursor = next(watch(engine.address)).cursor
    command(engine.store, "FLUSHALL")

    ended = failure_of(lambda: list(stream))
    failed = failure_of(lambda: next(watch(engine.address, cursor=old_cursor)))
    resumed = next(watch(engine.address, cursor=failed.metadata["cursor"]))

    for failure in (ended, failed):
        assert failure.code is grpc.StatusCode.ABORTED
        assert failure.reason == "EPOCH_ENDED"
    assert failed.metadata["reserved_micros"] == "0"
    assert int(failed.metadata["available_micros"]) == resumed.account.available.micros > 0
    assert not resumed.entries


def test_a_stream_outlives_a_store_that_restarts(tmp_path: Path, redis: OwnRedis) -> None:
    with running_engine(tmp_path / "engine", redis_url=redis.url) as engine:
        stream = watch(engine.address)
        next(stream)
        redis.kill()
        redis.start()
        wait_until(engine.has_ledger)
        engine.ask(a_question(CREDITS_CALL, call_id="after"))

        response = next(response for response in stream if response.entries)

    assert [entry.call_id for entry in response.entries] == ["after"]


@pytest.mark.parametrize("transport", ["grpcio", "nghttp2"])
def test_a_reader_that_does_not_read_is_ended_and_delays_nobody(
    tmp_path: Path, transport: str
) -> None:
    with running_engine(tmp_path, transport=transport) as engine:
        slow, quick = watch(small_buffers(engine.address)), watch(engine.address)
        seen = Folded()
        seen.take(next(slow), since_opened=False)
        next(quick)
        reading = threading.Thread(target=read_until_cancelled, args=(quick,))
        reading.start()

        slowest_seconds = max(ask_for_legs(engine.stub) for _ in range(ROUNDS))
        failed = failure_of(lambda: take_all(seen, slow))
        resumed = Folded(entries=seen.entries)
        for response in watch(engine.address, cursor=failed.metadata["cursor"]):
            resumed.take(response, since_opened=False)
            if response.HasField("account"):
                break
        quick.cancel()
        reading.join()

    assert failed.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failed.reason == "READER_TOO_SLOW"
    assert failed.metadata["cursor"] == seen.cursor
    assert len(resumed.entries) == ROUNDS * LEGS
    assert slowest_seconds < 1
