"""Bodies that do not arrive and heads without end are over in time, and hold nobody up."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from google.protobuf import json_format

from engines import a_question, running_engine
from http_asking import Caller

ASK = "/callgate.v1.AuthorizationService/AuthorizeCall"
SLOW = 64
HEAD = f"POST {ASK} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n".encode()


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    folder = tmp_path_factory.mktemp("engine")
    with running_engine(
        folder, http_listen="127.0.0.1:0", run_keeper=False, arrival_seconds=1, max_calls=32
    ) as engine:
        caller = Caller(engine)
        yield caller
        caller.channel.close()


def said(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while not answer.endswith(b"}") and (part := connection.recv(65_536)):
            answer += part
    except ConnectionResetError:
        pass  # It was closed on what was still being sent.
    return answer


def check_others_are_answered(caller: Caller) -> None:
    assert caller.engine.ask(a_question("+390612345678")).HasField("grant")
    emergency = caller.ask(ASK, json_format.MessageToJson(a_question("911")))
    assert emergency.told["grant"]["emergency"] is True


def test_bodies_that_do_not_arrive_are_over_in_time_and_hold_nobody_up(caller: Caller) -> None:
    with ExitStack() as stack:
        address = ("127.0.0.1", caller.port)
        slow = [
            stack.enter_context(socket.create_connection(address, timeout=20)) for _ in range(SLOW)
        ]
        for connection in slow:
            connection.sendall(HEAD + b'content-length: 500\r\n\r\n{"tenantId":')

        check_others_are_answered(caller)
        answers = [said(connection) for connection in slow]
        for connection in slow:
            connection.settimeout(5)  # Half of what it was.
            assert connection.recv(1) == b""

    assert {answer.split()[1] for answer in answers} == {b"408"}
    assert all(b"body: was not sent within 1 s" in answer for answer in answers)


def test_heads_without_end_are_refused_and_hold_nobody_up(caller: Caller) -> None:
    with ExitStack() as stack:
        address = ("127.0.0.1", caller.port)
        floods = [
            stack.enter_context(socket.create_connection(address, timeout=20)) for _ in range(8)
        ]
        for connection in floods:
            many = b"".join(b"x-%d: %s\r\n" % (n, b"y" * 900) for n in range(60))
            connection.sendall(HEAD + many + b"content-length: 2\r\n\r\n{}")

        check_others_are_answered(caller)
        answers = [said(connection) for connection in floods]

    assert {answer.split()[1] for answer in answers} <= {b"400", b"431"}
