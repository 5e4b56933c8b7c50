"""Facts that change while an engine serves: taken over, refused, or not yet known here."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from callgate.v1 import authorization_pb2 as pb
from engines import ROOT, Engine, a_question, failure_of, running_engine, wait_until

ITALY = "+390612345678"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "directory"
    folder.mkdir()
    for name in ("contoso.toml", "fabrikam.toml"):
        shutil.copy(ROOT / "data" / "directory" / name, folder)
    return folder


@pytest.fixture
def engine(tmp_path: Path, directory: Path) -> Iterator[Engine]:
    with running_engine(tmp_path / "engine", directory_folder=directory) as engine:
        yield engine


def change(directory: Path, old: str, new: str) -> None:
    file = directory / "contoso.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def reason(engine: Engine, user_id: str) -> str:
    answer = engine.ask(a_question(ITALY, user_id=user_id, dry_run=True))
    return pb.Reason.Name(answer.refusal.reason) if answer.HasField("refusal") else "granted"


def test_an_answer_is_the_same_after_the_facts_changed(engine: Engine, directory: Path) -> None:
    known = a_question(ITALY, user_id="bruno", explain=True).SerializeToString()
    unknown = a_question(ITALY, user_id="nadia").SerializeToString()
    first = [engine.ask_raw(question) for question in (known, unknown)]
    file = directory / "contoso.toml"
    file.write_text(file.read_text().replace("[users.bruno]", "[users.nadia]"))

    engine.process.send_signal(signal.SIGHUP)
    wait_until(lambda: reason(engine, "nadia") == "granted")

    assert reason(engine, "bruno") == "REASON_USER_UNKNOWN"
    assert [engine.ask_raw(question) for question in (known, unknown)] == first


def test_a_change_of_a_file_is_noticed_without_a_signal(engine: Engine, directory: Path) -> None:
    assert reason(engine, "adele") == "granted"

    change(directory, "[users.adele]", "[users.adele]\nfrozen = true")

    wait_until(lambda: reason(engine, "adele") == "REASON_ACCOUNT_FROZEN")


def test_a_wrong_file_leaves_the_last_good_one_serving(engine: Engine, directory: Path) -> None:
    change(directory, 'usage_location = "IT"', 'usage_locution = "IT"')

    engine.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "usage_locution" in engine.log)

    assert "Facts not taken over" in engine.log
    assert "contoso.toml" in engine.log
    assert reason(engine, "bruno") == "granted"
    assert engine.health() == "SERVING"


def test_a_wrong_file_at_the_start_is_told_whole(tmp_path: Path, directory: Path) -> None:
    change(directory, 'usage_location = "IT"', 'usage_locution = "IT"')
    engine = Engine(tmp_path / "engine", directory_folder=directory)
    engine.launch()

    assert engine.gone() == 1
    assert "contoso.toml" in engine.log
    assert "Traceback" not in engine.log


def test_facts_not_found_stop(engine: Engine, directory: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    shutil.copytree(directory, others)
    change(others, "[users.adele]", "[users.adele]\nfrozen = true")
    shared = {"redis_url": f"unix://{engine.store.absolute()}", "directory_folder": others}

    # It opens the account anew, by facts that the first engine cannot find in its files.
    with running_engine(tmp_path / "second", **shared) as second:
        wait_until(lambda: answered(second) == "REASON_ACCOUNT_FROZEN", seconds=10)
        failed = failure_of(lambda: engine.ask(a_question(ITALY)))
        emergency = engine.ask(a_question("911"))
        other_tenant = engine.ask(a_question(ITALY, tenant_id="fabrikam", user_id="gina"))

    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "FACTS_BEHIND")
    assert failed.metadata == {"tenant_id": "contoso"}
    assert emergency.grant.emergency
    assert other_tenant.HasField("grant")


def test_an_engine_that_is_behind_catches_up_with_its_files(
    engine: Engine, directory: Path, tmp_path: Path
) -> None:
    change(directory, "[users.adele]", "[users.adele]\nfrozen = true")
    shared = {"redis_url": f"unix://{engine.store.absolute()}", "directory_folder": directory}

    with running_engine(tmp_path / "second", **shared):
        wait_until(lambda: answered(engine) == "REASON_ACCOUNT_FROZEN", seconds=10)


def answered(engine: Engine) -> str:
    with contextlib.suppress(grpc.RpcError):
        return reason(engine, "adele")
    return "no answer"
