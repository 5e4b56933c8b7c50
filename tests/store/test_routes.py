"""Being sent from node to node: what is remembered, what is not, and what never ends."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from redis.crc import key_slot

from scripted_store import Script, scripted_store
from server.storage.redis import Store, StoreUnavailable, Timeouts
from server.storage.redis.routes import slot_of

OK = b"+OK\r\n"
KEY = "{p1}:x"
SLOT = key_slot(KEY.encode())


def table(port: int, first: int = 0, last: int = 16_383) -> bytes:
    """Write the table of a cluster in which one node, on the host that is asked, has slots."""
    return f"*1\r\n*3\r\n:{first}\r\n:{last}\r\n*2\r\n$0\r\n\r\n:{port}\r\n".encode()


class TwoNodes:
    """A cluster whose table names the first node only; a test says what either answers."""

    def __init__(self) -> None:
        self.said: list[list[bytes]] = [[], []]
        self.scripts: list[Script] = [lambda _: OK, lambda _: OK]
        self.ports = [0, 0]
        self.table: bytes | None = None
        self.url = ""

    def script_of(self, number: int) -> Script:
        def answer(command: list[bytes]) -> bytes:
            if command[0] == b"CLUSTER":
                return self.table or table(self.ports[0])
            self.said[number].append(command[0])
            return self.scripts[number](command)

        return answer


@pytest.fixture
async def nodes() -> AsyncIterator[TwoNodes]:
    made = TwoNodes()
    async with AsyncExitStack() as stack:
        for number in range(2):
            url = await stack.enter_async_context(scripted_store(made.script_of(number)))
            made.ports[number] = int(url.rpartition(":")[2])
        made.url = f"redis+cluster://127.0.0.1:{made.ports[0]}"
        yield made


@pytest.fixture
async def store(nodes: TwoNodes) -> AsyncIterator[Store]:
    connected = Store(nodes.url, Timeouts(reply_seconds=0.3))
    yield connected
    await connected.close()


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
async def test_a_slot_that_moved_is_asked_for_at_its_new_node_from_then_on(
    nodes: TwoNodes, store: Store, host: str
) -> None:
    nodes.scripts[0] = lambda _: f"-MOVED {SLOT} {host}:{nodes.ports[1]}\r\n".encode()

    first = await store.command("GET", KEY)
    nodes.table = table(nodes.ports[1])
    again = await store.command("GET", KEY)

    assert first == again == b"OK"
    assert nodes.said == [[b"GET"], [b"GET", b"GET"]]


async def test_a_key_that_is_elsewhere_for_now_is_asked_for_there_this_once(
    nodes: TwoNodes, store: Store
) -> None:
    elsewhere = f"-ASK {SLOT} 127.0.0.1:{nodes.ports[1]}\r\n".encode()
    replies = iter([elsewhere, OK])
    nodes.scripts[0] = lambda _: next(replies)

    assert await store.command("GET", KEY) == b"OK"
    assert await store.command("GET", KEY) == b"OK"

    assert nodes.said == [[b"GET", b"GET"], [b"ASKING", b"GET"]]


async def test_what_is_sent_back_and_forth_ends_in_time(nodes: TwoNodes, store: Store) -> None:
    for number in range(2):
        moved = f"-MOVED {SLOT} 127.0.0.1:{nodes.ports[1 - number]}\r\n".encode()
        nodes.scripts[number] = lambda _, moved=moved: moved  # type: ignore[misc] # A default.

    with pytest.raises(StoreUnavailable, match="MOVED"):
        await store.command("GET", KEY)

    # Nodes that disagree are asked with pauses, not as fast as they answer.
    assert 3 < sum(map(len, nodes.said)) < 20


async def test_a_slot_of_nobody_is_unavailable(nodes: TwoNodes, store: Store) -> None:
    nodes.table = table(nodes.ports[0], SLOT + 1)

    with pytest.raises(StoreUnavailable, match="nobody"):
        await store.command("GET", KEY)


async def test_a_library_is_loaded_where_it_is_missing_and_once_only(
    nodes: TwoNodes, store: Store
) -> None:
    await store.load_library("#!lua name=one\n")
    nodes.said[0].clear()
    nodes.scripts[0] = lambda command: (
        OK if command[0] == b"FUNCTION" else b"-ERR Function not found\r\n"
    )

    with pytest.raises(Exception, match="Function not found"):
        await store.call("one", (KEY,), ())

    assert nodes.said[0] == [b"FCALL", b"FUNCTION", b"FCALL"]


def test_slots_are_those_of_the_cluster() -> None:
    chance = random.Random(3)
    keys = ["", "{", "}", "{}", "{}x", "{a}{b}", "x{a}", "{a", "}{a}"]
    letters = itertools.repeat("{}ab", 500)
    keys += ["".join(chance.choices(some, k=chance.randrange(12))) for some in letters]

    assert [slot_of(key) for key in keys] == [key_slot(key.encode()) for key in keys]
    assert slot_of(b"\xff{p1}") == key_slot(b"\xff{p1}")
