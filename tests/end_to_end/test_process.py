"""An engine's own life: killed, drained, started twice or wrongly, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import redis
from click.testing import CliRunner

from callgate.command.commands import callgate
from engines import Engine, OwnRedis, a_question, command, failure_of, running_engine, wait_until
from forks import run_command

CREDITS_CALL = "+390612345678"


def store_answers(engine: Engine) -> bool:
    try:
        return bool(command(engine.store, "PING"))
    except redis.RedisError:
        return False


def test_a_killed_engine_leaves_no_store_running_and_the_next_one_knows_its_reservations(
    tmp_path: Path,
) -> None:
    """B11: SIGKILL, a restart, the same question: one reservation."""
    question = a_question(CREDITS_CALL)
    with running_engine(tmp_path) as killed:
        first = killed.ask(question)
        held = killed.balance("contoso").reserved.micros
        killed.kill()
        wait_until(lambda: not store_answers(killed), seconds=5)

    with running_engine(tmp_path) as engine:
        again = engine.ask(question)
        balance = engine.balance("contoso")

    assert held > 0
    assert again == first
    assert balance.reserved.micros == held


def test_an_engine_that_is_stopped_answers_what_is_under_way_and_ends(
    tmp_path: Path, redis: OwnRedis
) -> None:
    """I7: what is in flight is answered, and health says that it drains."""
    with running_engine(
        tmp_path / "engine", run_command, redis_url=redis.url, deadline_ms=5_000
    ) as engine:
        engine.ask(a_question())
        health = engine.watch_health()
        before = next(health)
        with ThreadPoolExecutor() as threads:
            with redis.frozen():
                waiting = threads.submit(engine.ask, a_question(CREDITS_CALL), 10.0)
                # The question is on its way; nothing outside shows when it has arrived.
                time.sleep(0.2)
                engine.process.terminate()
                wait_until(lambda: "Draining" in engine.log)
                drained = next(health)
                health.close()
            answer = waiting.result()
        started = time.monotonic()
        status = engine.gone()

    assert (before, drained) == ("SERVING", "NOT_SERVING")
    assert answer.HasField("grant")
    assert status == 0
    assert time.monotonic() - started < 5.0


def test_a_stop_takes_no_longer_than_the_drain_time(tmp_path: Path, redis: OwnRedis) -> None:
    settings = {"redis_url": redis.url, "deadline_ms": 20_000, "drain_seconds": 1}
    with (
        running_engine(tmp_path / "engine", **settings) as engine,
        ThreadPoolExecutor() as threads,
        redis.frozen(),
    ):
        threads.submit(failure_of, lambda: engine.ask(a_question(CREDITS_CALL), 30.0))
        time.sleep(0.2)
        started = time.monotonic()
        engine.process.send_signal(signal.SIGINT)
        status = engine.gone()
        took = time.monotonic() - started

    assert status == 0
    assert took < 6.0


def test_wrong_settings_end_the_start_all_of_them_told(tmp_path: Path) -> None:
    engine = Engine(tmp_path, run_command, deadline_ms="soon", slice_secs=60)
    engine.launch()

    assert engine.gone() == 2
    assert "CALLGATE_DEADLINE_MS: 'soon' is not a whole number from 10 to 60000" in engine.log
    assert "CALLGATE_SLICE_SECS is no setting; did you mean CALLGATE_SLICE_SECONDS?" in engine.log
    assert "Traceback" not in engine.log


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        engine = Engine(tmp_path, listen=address)
        engine.launch()
        status = engine.gone()

    assert status == 1
    assert address in engine.log
    assert "Traceback" not in engine.log
    assert not store_answers(engine)


def test_listening_to_strangers_is_said_at_the_start(tmp_path: Path) -> None:
    with running_engine(tmp_path, listen="0.0.0.0:0", insecure_listen="true") as engine:
        assert "insecure_listen" in engine.log


def test_a_second_engine_may_share_the_store_of_the_first(tmp_path: Path) -> None:
    question = a_question(CREDITS_CALL)
    with (
        running_engine(tmp_path / "first") as first,
        running_engine(tmp_path / "second", redis_url=f"unix://{first.store.absolute()}") as second,
    ):
        assert first.ask(question) == second.ask(question)


@pytest.mark.parametrize("transport", ["grpcio", "nghttp2"])
def test_either_transport_carries_answers_failures_and_health(
    tmp_path: Path, transport: str
) -> None:
    with running_engine(tmp_path, run_command, transport=transport) as engine:
        assert f"with {transport}" in engine.log
        assert engine.ask(a_question("911")).grant.emergency
        assert engine.ask(a_question()).HasField("grant")
        failed = failure_of(lambda: engine.ask(a_question(call_id="a b")))
        assert (failed.code, failed.metadata) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            {"field": "call_id"},
        )
        assert engine.health() == "SERVING"
        assert engine.stop() == 0


def test_an_interrupt_at_the_terminal_does_not_take_the_store_away_first(tmp_path: Path) -> None:
    with running_engine(tmp_path, run_command) as engine:
        question = a_question(CREDITS_CALL)
        first = engine.ask(question)
        os.killpg(engine.process.pid, signal.SIGINT)
        status = engine.gone()

    with running_engine(tmp_path) as engine:
        assert engine.ask(question) == first
    assert status == 0


def test_a_probe_tells_an_engine_that_serves_from_one_that_is_away(tmp_path: Path) -> None:
    with running_engine(tmp_path) as engine:
        probes = [
            CliRunner().invoke(callgate, ["health", "--address", engine.address, *more])
            for more in ([], ["--service", "callgate.ledger"], ["--service", "nonsense"])
        ]
    away = CliRunner().invoke(callgate, ["health", "--address", engine.address])

    assert [probe.exit_code for probe in probes] == [0, 0, 2]
    assert probes[0].stdout == "serving\n"
    assert away.exit_code == 4
