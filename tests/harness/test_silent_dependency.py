"""What one tenant depends on may hang: others are decided about, and told, as before."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest

from callgate.testing import Nursery
from callgate.v1 import authorization_pb2 as pb
from callgate.v1.authorization_pb2_grpc import AuthorizationServiceStub
from engines import START_SECONDS, wait_until

ROME = "+390612345678"
ASKED = 100
TENANT = """
[tenants.{name}]
country = "US"
currency = "USD"
funding_model = "prepaid"
opening_balance = "{balance}"
[tenants.{name}.notices]
webhook_url = "http://127.0.0.1:{port}/"
low_balance = "5.00"
[tenants.{name}.users.adele]
usage_location = "US"
licences = ["MCOEV", "MCOPSTN_PAYG_1", "MCOPSTNPP"]
"""


class Told(BaseHTTPRequestHandler):
    """Takes what it is told."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append(self.path)  # type: ignore[attr-defined] # Put there below.
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Somebody who takes every connection, and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.settimeout(START_SECONDS)
        yield listener


@pytest.fixture
def hearing() -> Iterator[Any]:
    server: Any = HTTPServer(("127.0.0.1", 0), Told)
    server.told = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_who_hangs_for_one_tenant_keeps_nobody_else_waiting(
    silent: socket.socket, hearing: Any, tmp_path: Path
) -> None:
    """D8."""
    scenario = tmp_path / "scenario.toml"
    worlds = [
        ("hung", "5.05", silent.getsockname()[1]),
        ("quick", "500.00", hearing.server_port),
        ("told", "5.05", hearing.server_port),
    ]
    scenario.write_text(
        "".join(
            TENANT.format(name=name, balance=balance, port=port) for name, balance, port in worlds
        )
    )
    settings = {"outgoing_hosts": "127.0.0.1"}
    with (
        Nursery() as nursery,
        nursery.engine(scenario, settings) as engine,
        grpc.insecure_channel(engine.address) as channel,
    ):
        stub: Any = AuthorizationServiceStub(channel)
        ask_often(stub, "warm-up")
        before = ask_often(stub, "before")
        spend(stub, "hung")
        listening, _ = silent.accept()
        during = ask_often(stub, "during")
        spend(stub, "told")
        wait_until(lambda: hearing.told)
        listening.close()

    print(f"median {before * 1e6:.0f} us before, {during * 1e6:.0f} us while it hangs")  # noqa: T201 -- To be seen with -s.
    assert during < 5 * before


def ask_often(stub: Any, name: str) -> float:
    """Ask for the tenant that nothing hangs for; return the median of the seconds it takes."""
    took = []
    for number in range(ASKED):
        started = time.perf_counter()
        assert stub.AuthorizeCall(question("quick", f"{name}-{number}")).HasField("grant")
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def spend(stub: Any, tenant: str) -> None:
    """Let the balance fall below what is low."""
    stub.AuthorizeCall(question(tenant, "one"))
    report = pb.SettleCallRequest(tenant_id=tenant, gateway_id="harness", call_id="one", sequence=2)
    report.used_duration.seconds = 30
    stub.SettleCall(report)


def question(tenant: str, call_id: str) -> pb.AuthorizeCallRequest:
    asked = pb.AuthorizeCallRequest(
        tenant_id=tenant,
        gateway_id="harness",
        call_id=call_id,
        sequence=1,
        called_number=ROME,
        user_call=pb.UserCall(user_id="adele"),
    )
    asked.requested_duration.seconds = 30
    return asked
