"""Engine, keeper, store and archive as processes and files, as `make run` has them."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from engines import Engine, a_question, command, failure_of, running_engine, wait_until
from forks import run_forked
from server.app.doctor import examine
from server.ledger.keys import partition_keys, partition_of
from server.settings import Settings

CREDITS_CALL = "+390612345678"
_JOURNAL = partition_keys(partition_of("contoso")).journal
_ACCOUNTS = partition_keys(partition_of("contoso")).accounts
_FEWEST_ENTRIES = 1_000


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with running_engine(tmp_path, journal_max_entries=_FEWEST_ENTRIES) as running:
        yield running


def children(engine: Engine) -> dict[int, str]:
    """Name the engine's child processes by what they run."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if parent == engine.process.pid:
                found[int(entry.name)] = line
    return found


def keeper_of(engine: Engine) -> int | None:
    return next((pid for pid, line in children(engine).items() if "server keeper" in line), None)


def archived(engine: Engine) -> int:
    """Say how many entries of contoso's partition are archived."""
    query = "SELECT count(*) FROM journal WHERE tenant_id = 'contoso'"
    with sqlite3.connect(engine.folder / "data" / "archive.sqlite") as connection:
        count: int = connection.execute(query).fetchone()[0]
    connection.close()
    return count


def waiting(engine: Engine) -> int:
    """Say how many entries of contoso's partition the archive lacks."""
    return int(command(engine.store, "XLEN", _JOURNAL)) - 1


def doctor(engine: Engine, *options: str) -> tuple[int, str]:
    environment = os.environ | {"CALLGATE_DATA_FOLDER": str(engine.folder / "data")}
    told = engine.folder / "told"
    told.write_bytes(b"")
    status = run_forked("doctor", *options, environment=environment, log=told).wait()
    return status, told.read_text()


def test_what_happens_is_archived_by_the_keeper_beside_the_engine(engine: Engine) -> None:
    before = archived(engine)

    engine.ask(a_question(CREDITS_CALL))

    wait_until(lambda: archived(engine) > before and waiting(engine) == 0, seconds=10)


def test_a_killed_engine_leaves_neither_keeper_nor_store_behind(engine: Engine) -> None:
    wait_until(lambda: keeper_of(engine))
    left = list(children(engine))
    assert len(left) >= 2

    engine.kill()

    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), seconds=5)


def test_a_keeper_that_was_killed_is_started_again(engine: Engine) -> None:
    wait_until(lambda: keeper_of(engine))
    first = keeper_of(engine)
    assert first is not None

    os.kill(first, signal.SIGKILL)

    wait_until(lambda: keeper_of(engine) not in {None, first}, seconds=10)


def test_a_store_that_was_emptied_is_filled_again_while_the_engine_runs(engine: Engine) -> None:
    engine.ask(a_question(CREDITS_CALL))
    before = engine.balance("contoso")
    wait_until(lambda: waiting(engine) == 0)

    command(engine.store, "FLUSHALL")
    wait_until(lambda: command(engine.store, "EXISTS", _JOURNAL), seconds=10)

    after = engine.balance("contoso")
    assert before.reserved.micros > 0
    assert (after.balance, after.reserved.micros) == (before.balance, 0)
    assert engine.ask(a_question(CREDITS_CALL)).HasField("grant")


def test_the_doctor_tells_a_difference_mends_it_and_says_so_to_scripts(engine: Engine) -> None:
    engine.ask(a_question(CREDITS_CALL))
    status, text = doctor(engine)
    assert (status, text) == (0, "Ledger, archive and reservations agree.\n")

    command(engine.store, "HSET", _ACCOUNTS, "totals/contoso", "1 2 0 0 0 0")
    status, text = doctor(engine)
    assert status == 1
    assert "contoso: funded is 1 in the ledger, 50000000 in the archive" in text
    assert "Repair: fill the partition anew" in text

    status, text = doctor(engine, "--repair")
    assert status == 0, text
    assert engine.balance("contoso").balance.micros == 50_000_000


def test_the_doctor_says_when_it_cannot_look(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.stop()
    monkeypatch.setattr("server.app.doctor._PATIENCE_SECONDS", 0.2)

    status = examine(Settings(data_folder=engine.folder / "data"), repair=False)

    told = capsys.readouterr().err
    assert (status, told) == (2, "The store or the archive does not answer.\n")


def test_calls_are_refused_when_no_journal_could_keep_them_and_taken_again_later(
    engine: Engine,
) -> None:
    wait_until(lambda: waiting(engine) == 0)
    holder = sqlite3.connect(engine.folder / "data" / "archive.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    for _ in range(_FEWEST_ENTRIES):
        assert engine.ask(a_question(seconds=1)).HasField("grant")
    wait_until(lambda: is_refused(engine))
    failed = failure_of(lambda: engine.ask(a_question()))
    assert failed.code is grpc.StatusCode.UNAVAILABLE
    assert engine.ask(a_question("911")).HasField("grant"), "an emergency needs no journal"

    holder.execute("ROLLBACK")
    holder.close()
    wait_until(lambda: waiting(engine) == 0)
    wait_until(lambda: not is_refused(engine))


def is_refused(engine: Engine) -> bool:
    try:
        engine.ask(a_question(seconds=1))
    except grpc.RpcError:
        return True
    return False


def test_an_operator_is_told_that_nothing_was_forfeited_before_its_time(engine: Engine) -> None:
    environment = os.environ | {"CALLGATE_DATA_FOLDER": str(engine.folder / "data")}
    told = engine.folder / "told"

    status = run_forked("forfeits", "--give-back", environment=environment, log=told).wait()

    assert (status, told.read_text()) == (0, "Nothing was forfeited before its time.\n")
