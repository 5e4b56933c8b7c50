"""Calls played, listed and watched from the command line, on a real engine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engines import ROOT, Engine, a_question, running_engine, wait_until
from ports import reserve_port
from terminal import Terminal

ROME = ("--tenant", "contoso", "--user", "adele", "--to", "+390612345678")
# An hour of talk in a moment.
AT_ONCE = ("--speed", "100000")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running_engine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture
def terminal(engine: Engine) -> Terminal:
    return Terminal(engine.address)


class Watcher:
    """`callgate watch` in a process of its own, its lines as they come."""

    def __init__(self, address: str, *words: str) -> None:
        command = "from callgate.command import main; main()"
        self.lines: list[str] = []
        self.complaints: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", command, "watch", "--address", address, *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._threads = [
            threading.Thread(target=lambda: self.lines.extend(self.process.stdout or ())),
            threading.Thread(target=lambda: self.complaints.extend(self.process.stderr or ())),
        ]
        for thread in self._threads:
            thread.start()

    def sees(self, text: str) -> None:
        """Wait until a line has the text."""
        wait_until(lambda: any(text in line for line in self.lines))

    def stop(self) -> int:
        """Press Ctrl-C; return the exit status."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(10)
        for thread in self._threads:
            thread.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return status


@contextmanager
def watching(address: str, *words: str) -> Iterator[Watcher]:
    watcher = Watcher(address, *words)
    try:
        yield watcher
    finally:
        if watcher.process.poll() is None:
            watcher.stop()


def available(engine: Engine) -> int:
    return engine.balance("contoso").available.micros


def test_a_played_call_shows_all_of_its_life_and_costs_what_the_rate_says(
    engine: Engine, terminal: Terminal
) -> None:
    before = available(engine)

    played = terminal.type("call", *ROME, "--seconds", "150", *AT_ONCE)

    assert played.exit_code == 0
    told = played.output
    assert "GRANTED   1 min to +390612345678" in told
    assert told.count("EXTENDED") == 2
    assert "EXTENDED  to 2 min, debited 0.10 USD for 55 s by credits" in told
    assert "SETTLED   2 min 30 s talked, debited 0.30 USD for 2 min 30 s by credits" in told
    # Three minutes begun at 0.10 USD each.
    assert before - available(engine) == 300_000
    assert engine.balance("contoso").reserved.micros == 0


def test_a_played_call_of_no_length_costs_nothing(engine: Engine, terminal: Terminal) -> None:
    before = available(engine)

    played = terminal.type("call", *ROME, "--seconds", "0", *AT_ONCE)

    assert played.exit_code == 0
    assert "SETTLED   0 s talked" in played.output
    assert available(engine) == before


def test_a_played_call_that_is_refused_ends_there(terminal: Terminal) -> None:
    words = ("--tenant", "contoso", "--user", "nobody", "--to", "+390612345678")

    played = terminal.type("call", *words, "--seconds", "10", *AT_ONCE)

    assert played.exit_code == 3
    assert "REFUSED" in played.output
    assert "SETTLED" not in played.output


def test_a_played_call_warns_before_its_money_ends(tmp_path: Path) -> None:
    with running_engine(tmp_path, report_tolerance_seconds=86_400) as engine:
        # All but the last two minutes of the balance is talked.
        money = available(engine)
        minutes = money // 100_000 - 2
        terminal = Terminal(engine.address)
        for _ in range(2):
            talk = ("--seconds", str(minutes * 30), "--slice", "86400")
            terminal.type("call", *ROME, *talk, *AT_ONCE)

        played = terminal.type("call", *ROME, "--seconds", "600", *AT_ONCE)
        left = available(engine)

    assert "WARNING   the call will end at 2 min" in played.output
    assert "SETTLED   2 min talked" in played.output
    assert left < 100_000


def test_a_call_that_is_played_faster_than_is_believed_ends_and_says_so(
    engine: Engine, terminal: Terminal
) -> None:
    played = terminal.type("call", *ROME, "--seconds", "7200", *AT_ONCE)

    assert played.exit_code == 0
    assert "TOO FAST" in played.output
    assert "SETTLED" in played.output


def test_running_calls_are_listed_with_what_they_used(engine: Engine, terminal: Terminal) -> None:
    engine.ask(a_question("+390612345678", tenant_id="contoso", call_id="listed"))

    listed = terminal.type("calls", "--tenant", "contoso")
    as_json = terminal.type("calls", "--tenant", "contoso", "--json")

    assert "listed of sbc-1 to +390612345678: 0 s used of 1 min, adele of contoso" in listed.output
    calls = json.loads(as_json.output)["calls"]
    assert [call["callId"] for call in calls if call["callId"] == "listed"] == ["listed"]


def test_an_engine_that_nobody_started_cannot_be_watched() -> None:
    watched = Terminal(f"127.0.0.1:{reserve_port()}").type("watch", "--tenant", "contoso")

    assert watched.exit_code == 4


def test_a_watcher_goes_on_by_itself_when_the_engine_comes_back(tmp_path: Path) -> None:
    listen = f"127.0.0.1:{reserve_port()}"
    with (
        running_engine(tmp_path, listen=listen) as engine,
        watching(listen, "--tenant", "contoso", "--from-beginning") as watcher,
    ):
        engine.ask(a_question("+390612345678", call_id="before"))
        watcher.sees("reservation before")
        engine.kill()
        engine.start()
        engine.ask(a_question("+390612345678", call_id="after"))
        watcher.sees("reservation after")
        status = watcher.stop()

    assert status == 0, watcher.complaints
    assert sum("top up" in line for line in watcher.lines) == 1
    assert sum("reservation before" in line for line in watcher.lines) == 1
    assert any("--cursor" in line for line in watcher.complaints)


def test_a_watcher_prints_json_that_resumes(engine: Engine) -> None:
    with watching(engine.address, "--tenant", "contoso", "--json") as watcher:
        watcher.sees("cursor")
        cursor = json.loads(watcher.lines[0])["cursor"]
    engine.ask(a_question("+390612345678", call_id="unseen"))

    with watching(engine.address, "--tenant", "contoso", "--json", "--cursor", cursor) as watcher:
        watcher.sees("unseen")
        first = json.loads(watcher.lines[0])

    assert [entry["callId"] for entry in first["entries"]] == ["unseen"]
    assert first["entries"][0]["kind"] == "JOURNAL_ENTRY_KIND_RESERVATION"
