"""What is wrong with one tenant as an engine starts is that tenant's trouble alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import grpc
import pytest

from engines import ROOT, OwnRedis, a_question, failure_of, running_engine
from server.ledger.keys import keys_of

CREDITS_CALL = "+390612345678"
NO_ARCHIVE = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "directory"
    folder.mkdir()
    for name in ("contoso.toml", "fabrikam.toml"):
        shutil.copy(ROOT / "data" / "directory" / name, folder)
    return folder


def test_a_tenant_that_is_new_while_the_archive_is_away_waits_and_others_are_served(
    tmp_path: Path, redis: OwnRedis, directory: Path
) -> None:
    settings = {"redis_url": redis.url, "directory_folder": directory}
    with running_engine(tmp_path / "engine", **settings):
        pass
    shutil.copy(ROOT / "data" / "directory" / "adatum.toml", directory)

    with running_engine(
        tmp_path / "engine", **settings, archive_url=NO_ARCHIVE, run_keeper=False
    ) as engine:
        answer = engine.ask(a_question(CREDITS_CALL))
        new = failure_of(lambda: engine.balance("adatum"))
        health = engine.health("callgate.ledger"), engine.health("callgate.accounts")

    assert answer.HasField("grant")
    assert (new.code, new.reason) == (grpc.StatusCode.UNAVAILABLE, "ACCOUNT_UNKNOWN")
    assert "the archive does not answer" in new.text
    assert health == ("SERVING", "NOT_SERVING")


def test_a_partition_whose_accounts_are_lost_takes_no_other_tenant_down(
    tmp_path: Path, redis: OwnRedis, directory: Path
) -> None:
    settings = {"redis_url": redis.url, "directory_folder": directory, "run_keeper": False}
    with running_engine(tmp_path / "engine", **settings) as engine:
        engine.ask(a_question(CREDITS_CALL))
    redis.command("DEL", keys_of("fabrikam").accounts)

    with running_engine(tmp_path / "engine", **settings) as engine:
        answer = engine.ask(a_question(CREDITS_CALL))
        health = engine.health("callgate.ledger")

    assert answer.HasField("grant")
    assert health == "SERVING"
