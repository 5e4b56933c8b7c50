"""One server that hangs, dies, forgets, fills up or turns replica, while many ask it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deployments import Server, running_server_on_a_port
from scripted_store import scripted_store
from server.storage.redis import Store, StoreClock, StoreRefused, StoreUnavailable, Timeouts
from store_load import LIBRARY, load, step, until_answered

BACK_SECONDS = 2.0
FROZEN_SECONDS = 3.0
Tell = Callable[[str], None]


async def test_each_reply_belongs_to_its_question_whoever_is_cancelled(store: Store) -> None:
    chance = random.Random(7)

    async def ask(number: int) -> bool:
        return bool(await store.command("ECHO", f"{number}") == f"{number}".encode())

    tasks = []
    for number in range(3_000):
        tasks.append(asyncio.create_task(ask(number)))
        if chance.random() < 0.3:
            await asyncio.sleep(0)
        if chance.random() < 0.3:
            chance.choice(tasks[-20:]).cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert sum(isinstance(result, asyncio.CancelledError) for result in results) > 100
    assert {result for result in results if isinstance(result, bool)} == {True}


async def test_a_server_that_hangs_is_answered_for_and_picked_up_again(
    server: Server, store: Store, tell: Tell
) -> None:
    async with load(store) as told:
        with server.frozen():
            await asyncio.sleep(FROZEN_SECONDS)
        took = await until_answered(store)
    steps = int(server.run("GET", "{p1}:count"))

    tell(f"hung for {FROZEN_SECONDS:g} s: answers again after {took * 1000:.0f} ms")
    assert took < BACK_SECONDS
    assert told.failures
    assert told.longest_wait < 2.0 + 0.5
    assert len(set(told.counts)) == len(told.counts)
    # What was sent before it hung may be done without an answer, and is done once.
    assert len(told.counts) < steps <= len(told.counts) + len(told.failures) + 1


async def test_connections_cut_at_random_cost_their_questions_and_nothing_else(
    server: Server, store: Store
) -> None:
    chance = random.Random(11)
    async with load(store) as told:
        for _ in range(20):
            await asyncio.sleep(chance.uniform(0, 0.02))
            await asyncio.to_thread(server.run, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    steps = int(server.run("GET", "{p1}:count"))

    assert told.failures
    assert len(set(told.counts)) == len(told.counts)
    assert len(told.counts) <= steps <= len(told.counts) + len(told.failures)


async def test_a_server_that_comes_back_with_nothing_is_given_the_functions(
    tell: Tell, binary: Path
) -> None:
    with running_server_on_a_port(binary) as server:
        store = Store(server.url)
        await store.load_library(LIBRARY)
        await step(store, "p1")
        server.kill()
        with pytest.raises(StoreUnavailable):
            await step(store, "p1")
        server.start()
        await asyncio.to_thread(_wait_for, server)

        took = await until_answered(store)
        await store.close()

    tell(f"killed and started again: answers again after {took * 1000:.0f} ms")
    assert took < BACK_SECONDS


async def test_a_server_that_turned_replica_is_not_written_and_found_when_it_turns_back(
    server: Server, store: Store, tell: Tell
) -> None:
    await step(store, "p1")
    server.run("REPLICAOF", "127.0.0.1", "1")
    try:
        for _ in range(3):
            asked = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await step(store, "p1")
            assert time.monotonic() - asked < 0.5
    finally:
        server.run("REPLICAOF", "NO", "ONE")

    took = await until_answered(store)

    tell(f"a replica for a while: answers again after {took * 1000:.0f} ms")
    assert took < BACK_SECONDS
    assert server.run("GET", "{p1}:count") == b"2"


async def test_a_server_that_is_full_takes_nothing_until_it_has_room(
    server: Server, store: Store
) -> None:
    await step(store, "p1")
    server.run("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable, match="OOM"):
            await step(store, "p1")
    finally:
        server.run("CONFIG", "SET", "maxmemory", "0")

    assert await step(store, "p1") == 2


@pytest.mark.parametrize("word", ["LOADING", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN"])
async def test_what_passes_in_a_moment_is_waited_for(word: str) -> None:
    replies = iter([f"-{word} in a moment\r\n".encode()] * 3)

    async with scripted_store(lambda _: next(replies, b":1\r\n")) as url:
        store = Store(url)
        reply = await store.command("INCR", "x")
        await store.close()

    assert reply == 1


async def test_what_does_not_pass_is_told_in_time() -> None:
    async with scripted_store(lambda _: b"-LOADING for long\r\n") as url:
        store = Store(url, Timeouts(reply_seconds=0.1))
        with pytest.raises(StoreUnavailable, match="LOADING"):
            await store.command("INCR", "x")
        await store.close()


async def test_a_server_of_a_cluster_is_not_mistaken_for_a_single_one() -> None:
    async with scripted_store(lambda _: b"-MOVED 7 127.0.0.1:1\r\n") as url:
        store = Store(url)
        with pytest.raises(StoreUnavailable, match=r"redis\+cluster://"):
            await store.command("INCR", "x")
        await store.close()


async def test_who_asks_while_there_is_no_server_is_told_so_at_once(server: Server) -> None:
    store = Store("redis://127.0.0.1:1")
    asked = time.monotonic()
    for _ in range(50):
        with pytest.raises(StoreUnavailable):
            await store.command("PING")
    await store.close()

    assert time.monotonic() - asked < 1.0


async def test_a_closed_store_leaves_nothing_behind(server: Server) -> None:
    before = asyncio.all_tasks()
    store = Store(server.url)
    asking = [asyncio.create_task(store.command("ECHO", number)) for number in range(10)]
    await asyncio.sleep(0)

    await store.close()
    results = await asyncio.gather(*asking, return_exceptions=True)

    assert all(isinstance(result, StoreUnavailable) for result in results)
    assert asyncio.all_tasks() == before


async def test_the_clock_is_read_anew_on_a_new_connection(server: Server, store: Store) -> None:
    clock = StoreClock(store)
    read: list[None] = []
    refresh = clock.refresh

    async def counted() -> None:
        read.append(None)
        await refresh()

    clock.refresh = counted  # type: ignore[method-assign] # Counted, and done.
    keeping = asyncio.create_task(clock.keep())
    await asyncio.sleep(0.05)
    before = len(read)
    server.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await until_answered(store)
    await asyncio.sleep(0.05)
    keeping.cancel()

    assert before <= len(read) - 1


async def test_a_user_and_a_password_are_those_of_the_url(server: Server) -> None:
    server.run("ACL", "SETUSER", "engine", "on", ">a/b", "~*", "+@all")
    host = server.address
    known, stranger = Store(f"redis://engine:a%2Fb@{host}"), Store(f"redis://engine:c@{host}")

    assert await known.command("ACL", "WHOAMI") == b"engine"
    with pytest.raises(StoreUnavailable, match="password"):
        await stranger.command("PING")
    await known.close()
    await stranger.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://127.0.0.1:1",
        "redis+nonsense://127.0.0.1:1",
        "redis://127.0.0.1:1?nonsense=1",
        "rediss+cluster://127.0.0.1:1?ssl_nonsense=1",
        "redis+cluster://:secret@,/",
        "redis://user:secret/path@127.0.0.1:1",
    ],
)
def test_a_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(StoreRefused) as refused:
        Store(url)

    assert "secret" not in str(refused.value)


def _wait_for(server: Server) -> None:
    while not server.answers():
        time.sleep(0.01)
