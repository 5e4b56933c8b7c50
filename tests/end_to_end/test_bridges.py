"""Bridges on real engines in processes of their own: through trouble, restarts and each other."""

from __future__ import annotations

import queue
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from callgate.v1 import authorization_pb2 as pb
from engines import Engine, OwnRedis, a_question, running_engine, wait_until

ITALY = "+390612345678"


class Bridge:
    """One stream: what is put into it is sent, what comes is kept."""

    def __init__(self, engine: Engine, *tenant_ids: str, gateway_id: str = "sbc-1") -> None:
        self._out: queue.SimpleQueue[pb.ControlCallsRequest | None] = queue.SimpleQueue()
        hello = pb.ControlHello(gateway_id=gateway_id, tenant_ids=tenant_ids)
        self._out.put(pb.ControlCallsRequest(hello=hello))
        self.items: list[pb.ControlItem] = []
        self.ended: grpc.StatusCode | None = None
        self._call: Any = engine.stub.ControlCalls(iter(self._out.get, None))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self._number = 0

    def ask(self, seconds: float = 10.0, **question: Any) -> pb.ControlItem:
        """Ask one question, and wait for its answer."""
        self._number += 1
        number = self._number
        asked = pb.ControlQuestion(item_id=number, **question)
        self._out.put(pb.ControlCallsRequest(questions=[asked]))
        wait_until(lambda: any(item.item_id == number for item in self.items), seconds)
        return next(item for item in self.items if item.item_id == number)

    def pushed(self, kind: str) -> pb.ControlItem:
        def found() -> list[pb.ControlItem]:
            return [one for one in self.items if not one.item_id and one.WhichOneof("item") == kind]

        wait_until(found, 10)
        return found()[0]

    def close(self) -> None:
        self._out.put(None)
        self._call.cancel()
        self._thread.join(5)

    def _read(self) -> None:
        try:
            for message in self._call:
                self.items += message.items
            self.ended = grpc.StatusCode.OK
        except grpc.RpcError:
            self.ended = self._call.code()


def test_two_engines_carry_one_bridge_after_the_other(tmp_path: Path, redis: OwnRedis) -> None:
    """B1, B11: killed between grant and reply; asked again at another server, one reservation."""
    shared = {"redis_url": redis.url, "transport": "nghttp2"}
    call = a_question(ITALY)
    with running_engine(tmp_path / "two", **shared, run_keeper=False) as two:
        with running_engine(tmp_path / "one", **shared) as one:
            first = Bridge(one, "contoso")
            granted = first.ask(authorize_call=call).authorize_call
            one.kill()
            wait_until(lambda: first.ended is not None)
        second = Bridge(two, "contoso")

        again = second.ask(authorize_call=call).authorize_call
        known = second.ask(
            announcement=pb.CallAnnouncement(tenant_id="contoso", call_id=call.call_id)
        )
        report = pb.SettleCallRequest(tenant_id="contoso", call_id=call.call_id, sequence=2)
        report.used_duration.seconds = 30
        settled = second.ask(settle_call=report).settle_call
        pushed = second.pushed("debit").debit
        reserved = two.balance("contoso").reserved.micros
        second.close()

    assert again == granted
    assert known.deadline.granted_duration == granted.grant.granted_duration
    assert pushed.usages == settled.usages
    assert settled.usages[0].used_duration.seconds == 30
    assert reserved == 0


def test_a_store_that_hangs_holds_no_emergency_up(tmp_path: Path, redis: OwnRedis) -> None:
    """E7: on a bridge's stream, too, an emergency is granted with Redis away."""
    with running_engine(tmp_path / "engine", redis_url=redis.url) as engine:
        with redis.frozen():
            bridge = Bridge(engine, "contoso")
            started = time.monotonic()
            granted = bridge.ask(authorize_call=a_question("911"))
            emergency_seconds = time.monotonic() - started
            refused = bridge.ask(authorize_call=a_question(ITALY))
        wait_until(engine.has_ledger)
        served = bridge.ask(authorize_call=a_question(ITALY))
        bridge.close()

    assert granted.authorize_call.grant.emergency
    assert emergency_seconds < 0.5
    assert refused.error.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert refused.error.retry_delay.ToMilliseconds() > 0
    assert served.authorize_call.HasField("grant")


@pytest.mark.parametrize("transport", ["grpcio", "nghttp2"])
def test_a_drain_lets_bridges_go_at_once(tmp_path: Path, transport: str) -> None:
    """I7: SIGTERM ends streams with what was asked answered, long before the grace is over."""
    with running_engine(tmp_path / "engine", transport=transport, drain_seconds=20) as engine:
        bridge = Bridge(engine, "contoso")
        bridge.ask(authorize_call=a_question(ITALY))
        started = time.monotonic()

        status = engine.stop()

        assert status == 0
        assert time.monotonic() - started < 10
        wait_until(lambda: bridge.ended is not None)
        assert bridge.ended is grpc.StatusCode.OK
