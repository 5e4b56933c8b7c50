"""Several processes behind one address: shared, replaced, merged, drained."""

from __future__ import annotations

import os
import signal
import socket
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from callgate.v1.authorization_pb2_grpc import AuthorizationServiceStub
from callgate.v1.server_info_pb2 import GetServerInfoRequest, GetServerInfoResponse
from callgate.v1.server_info_pb2_grpc import ServerInfoServiceStub
from engines import Engine, OwnRedis, a_question, running_engine, wait_until
from forks import run_command
from workers import workers_of

CONNECTIONS = 16
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


def ask_over_many_connections(address: str) -> int:
    """Ask a question over each of many connections; return how many were answered."""
    with ExitStack() as stack:
        channels = [
            stack.enter_context(grpc.insecure_channel(address, _OWN_CONNECTION))
            for _ in range(CONNECTIONS)
        ]
        answers = [
            AuthorizationServiceStub(channel).AuthorizeCall(
                a_question(), timeout=5, wait_for_ready=True
            )
            for channel in channels
        ]
    return sum(answer.HasField("grant") for answer in answers)


def figures(engine: Engine) -> dict[str, float]:
    """Read the page of metrics of whichever worker answers."""
    with urllib.request.urlopen(f"http://{engine.settings['http_listen']}/metrics") as page:
        lines = page.read().decode().splitlines()
    pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in pairs}


def info(engine: Engine) -> GetServerInfoResponse:
    with grpc.insecure_channel(engine.address) as channel:
        return ServerInfoServiceStub(channel).GetServerInfo(GetServerInfoRequest(), timeout=5)


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("transport", ["grpcio", "nghttp2"])
def test_workers_share_a_port_and_their_figures_and_end_together(
    tmp_path: Path, redis: OwnRedis, transport: str
) -> None:
    settings = {"workers": 2, "transport": transport, "http_listen": free_address()}
    with running_engine(tmp_path, run_command, redis_url=redis.url, **settings) as engine:
        told = info(engine)
        answered = sum(ask_over_many_connections(engine.address) for _ in range(4))
        granted = 'callgate_decisions_total{outcome="grant",reason=""}'
        wait_until(lambda: figures(engine).get(granted) == answered)
        shares = {
            number: figures(engine)[f'process_cpu_seconds_total{{worker="{number}"}}']
            for number in (1, 2)
        }
        workers = workers_of(engine)
        status = engine.stop()

    assert (told.workers, told.recommended_connections, told.transport) == (2, 4, transport)
    assert answered == 4 * CONNECTIONS
    assert set(shares) == set(workers) == {1, 2}
    assert status == 0
    assert not [one for one in workers.values() if Path(f"/proc/{one}").exists()]
    assert "Traceback" not in engine.log


def test_a_worker_that_dies_is_replaced_while_the_others_answer(
    tmp_path: Path, redis: OwnRedis
) -> None:
    settings = {"workers": 2, "http_listen": free_address()}
    with running_engine(tmp_path, redis_url=redis.url, **settings) as engine:
        before = ask_over_many_connections(engine.address)
        victim = workers_of(engine)[2]
        # What a worker counted in its last second may be lost; this waits for a report.
        granted = 'callgate_decisions_total{outcome="grant",reason=""}'
        wait_until(lambda: figures(engine).get(granted) == before)
        time.sleep(1.1)
        os.kill(victim, signal.SIGKILL)
        started = time.monotonic()
        answered = ask_over_many_connections(engine.address)
        seconds = time.monotonic() - started
        wait_until(lambda: engine.log.count("worker 2: Serving with") == 2)
        kept: dict[str, float] = {}

        def tells_all() -> bool:
            # Whichever worker is asked knows of the others what they told it, once a second.
            kept.update(figures(engine))
            return kept[granted] == before + answered and kept["callgate_workers"] == 2

        wait_until(tells_all)
        engine.process.send_signal(signal.SIGHUP)
        status = engine.stop()

    assert answered == CONNECTIONS
    assert seconds < 2
    assert "Worker 2 ended with status -9; it is started again." in engine.log
    assert kept["callgate_workers_restarted_total"] == 1
    assert kept[granted] == before + answered
    assert status == 0


def test_workers_take_turns_at_a_unix_socket_that_is_gone_afterwards(
    tmp_path: Path, redis: OwnRedis
) -> None:
    path = tmp_path / "callgate.sock"
    settings = {"workers": 2, "transport": "nghttp2", "listen": f"unix:{path}"}
    engine = Engine(tmp_path, redis_url=redis.url, **settings)
    engine.launch()
    wait_until(lambda: f"Listening on unix:{path} with 2 workers" in engine.log)

    answered = ask_over_many_connections(f"unix:{path}")
    os.kill(workers_of(engine)[1], signal.SIGKILL)
    answered_by_one = ask_over_many_connections(f"unix:{path}")
    status = engine.stop()

    assert (answered, answered_by_one) == (CONNECTIONS, CONNECTIONS)
    assert status == 0
    assert not path.exists()


def test_one_process_takes_a_unix_socket_too(tmp_path: Path) -> None:
    path = tmp_path / "callgate.sock"
    engine = Engine(tmp_path, listen=f"unix:{path}")
    engine.launch()
    wait_until(lambda: f"Listening on unix:{path} with" in engine.log)

    answered = ask_over_many_connections(f"unix:{path}")

    assert answered == CONNECTIONS
    assert engine.stop() == 0


def test_workers_that_cannot_start_end_the_start(tmp_path: Path, redis: OwnRedis) -> None:
    engine = Engine(tmp_path, redis_url=redis.url, workers=2, catalogue_folder=tmp_path / "nowhere")
    engine.launch()

    assert engine.gone() == 1
    assert "Cannot start" in engine.log
    assert "Traceback" not in engine.log


def test_a_second_engine_does_not_take_callers_of_the_first_although_its_port_is_shared(
    tmp_path: Path, redis: OwnRedis
) -> None:
    with running_engine(tmp_path / "first", redis_url=redis.url, workers=2) as first:
        second = Engine(tmp_path / "second", redis_url=redis.url, workers=2, listen=first.address)
        second.launch()
        status = second.gone()

    assert status == 1
    assert first.address in second.log
