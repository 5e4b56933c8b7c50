"""A client that is used where it cannot work says so at once, and what to do."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

import callgate
from callgate import blocking
from callgate.connection import Connection
from callgate.credentials import Credentials
from callgate.errors import AddressWrong, CallgateError, ClientMisused
from callgate.v1 import authorization_pb2 as pb
from callgate.v1.credits_pb2 import GetBalanceRequest

NOBODY = "127.0.0.1:9"
QUESTION = pb.AuthorizeCallRequest(tenant_id="contoso", called_number="+390612345678")


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:50051",
        "https://engine.example",
        "grpc://engine:50051",
        "127.0.0.1:50051/",
        "engine/callgate.v1",
        "engine",
        "127.0.0.1",
        "engine:0",
        "engine:99999",
        "engine:port",
        "engine: 50051",
        " engine:50051",
        "",
        ":50051",
        "::1:50051",
    ],
)
@pytest.mark.parametrize(
    "client", [Connection, callgate.Client, blocking.Client], ids=["one", "asyncio", "blocking"]
)
def test_what_is_no_address_is_refused_at_once(client: Callable[[str], Any], address: str) -> None:
    with pytest.raises(AddressWrong, match="give host:port") as wrong:
        client(address)

    assert isinstance(wrong.value, ValueError)
    assert not wrong.value.is_retryable


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:50051", "[::1]:50051", "engine.internal:443", "unix:/run/callgate.sock", "a_b:1"],
)
def test_what_is_an_address_is_taken(address: str) -> None:
    blocking.Client(address)
    Connection(address).close()


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.authorize_call(QUESTION),
        lambda client: client.call(QUESTION),
        lambda client: client.control(["contoso"]),
        lambda client: client.admit(QUESTION),
        lambda client: client.get_balance(GetBalanceRequest(tenant_id="contoso")),
        lambda client: client.undelivered,
        lambda client: client.close(),
    ],
    ids=["authorize_call", "call", "control", "admit", "get_balance", "undelivered", "close"],
)
def test_a_client_outside_with_says_so(use: Callable[[blocking.Client], object]) -> None:
    with pytest.raises(ClientMisused, match=r"with Client\(address\)"):
        use(blocking.Client(NOBODY))


def test_a_client_after_its_with_says_so() -> None:
    with blocking.Client(NOBODY) as client, Connection(NOBODY) as connection:
        pass

    for ask in (client.authorize_call, client.call, connection.authorize_call):
        with pytest.raises(ClientMisused, match=r"with Client\(address\)"):
            ask(QUESTION)


async def test_an_asynchronous_client_outside_with_says_so() -> None:
    client = callgate.Client(NOBODY)

    with pytest.raises(ClientMisused, match="with Client"):
        await client.authorize_call(QUESTION)
    with pytest.raises(ClientMisused, match="with Client"):
        client.call(QUESTION)
    async with client:
        with pytest.raises(ClientMisused, match="the stream is not open"):
            await client.control(["contoso"]).authorize_call(QUESTION)
    with pytest.raises(ClientMisused, match="with Client"):
        await client.authorize_call(QUESTION)


def test_a_forked_child_is_told_to_open_its_own() -> None:
    with blocking.Client(NOBODY) as client, Connection(NOBODY) as connection:
        child = os.fork()
        if child == 0:
            os._exit(_told_in_the_child(client, connection))
        signal.alarm(20)
        _, status = os.waitpid(child, 0)
        signal.alarm(0)

    assert os.waitstatus_to_exitcode(status) == 0


def _told_in_the_child(client: blocking.Client, connection: Connection) -> int:
    told = 0
    for ask in (client.authorize_call, connection.authorize_call):
        try:
            ask(QUESTION)
        except ClientMisused as misused:
            told += "open one in each process, after the fork" in str(misused)
        except CallgateError:
            pass
    client.close()
    connection.close()
    return 0 if told == 2 else 1


def test_the_address_is_looked_at_before_the_files_of_credentials() -> None:
    with pytest.raises(AddressWrong):
        Connection("http://engine", credentials=Credentials(token="x" * 16))
