"""`python -m server reload` has every process serve what the files say, and says when they do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import cast

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.server_info_pb2 import ReloadFactsRequest
from callgate.v1.server_info_pb2_grpc import ServerInfoServiceStub
from engines import ROOT, Engine, OwnRedis, a_question, failure_of, running_engine, wait_until

ITALY = "+390612345678"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "directory"
    folder.mkdir()
    for name in ("contoso.toml", "fabrikam.toml"):
        shutil.copy(ROOT / "data" / "directory" / name, folder)
    return folder


def reload(redis: OwnRedis, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", "reload", "--wait", *words],
        cwd=ROOT,
        env=os.environ | {"CALLGATE_REDIS_URL": redis.url},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def reason(engine: Engine, user_id: str) -> str:
    answer = engine.ask(a_question(ITALY, user_id=user_id, dry_run=True))
    return pb.Reason.Name(answer.refusal.reason) if answer.HasField("refusal") else "granted"


def test_a_reload_is_over_when_every_process_serves_the_files(
    tmp_path: Path, redis: OwnRedis, directory: Path
) -> None:
    settings = {"redis_url": redis.url, "directory_folder": directory}
    file = directory / "contoso.toml"
    with (
        running_engine(tmp_path / "one", **settings) as one,
        running_engine(tmp_path / "two", **settings, run_keeper=False) as two,
    ):
        text = file.read_text()
        file.write_text(text.replace("[users.adele]", "[users.adele]\nfrozen = true"))
        done = reload(redis)
        frozen = [reason(engine, "adele") for engine in (one, two)]

        # Cut at the end of a line, behind the first of its users.
        head, _, users = text.partition("[users.")
        file.write_text(head + "[users." + users.partition("\n[users.")[0] + "\n")
        refused = reload(redis)
        kept = [reason(engine, "bruno") for engine in (one, two)]
        meant = reload(redis, *re.findall(r"--losing|(?<=--losing )\S+", refused.stderr))
        gone = [reason(engine, "bruno") for engine in (one, two)]

    assert (done.returncode, frozen) == (0, ["REASON_ACCOUNT_FROZEN"] * 2)
    assert done.stdout.startswith("2 processes serve catalogue ")
    assert (refused.returncode, kept) == (1, ["granted"] * 2)
    assert "--losing users/contoso" in refused.stderr
    assert (meant.returncode, gone) == (0, ["REASON_USER_UNKNOWN"] * 2)


def test_a_client_may_ask_for_it_too(tmp_path: Path, redis: OwnRedis, directory: Path) -> None:
    settings = {"redis_url": redis.url, "directory_folder": directory}
    request = ReloadFactsRequest(wait_duration=Duration(seconds=60))
    with (
        running_engine(tmp_path / "one", **settings) as one,
        running_engine(tmp_path / "two", **settings, run_keeper=False) as two,
        grpc.insecure_channel(one.address) as channel,
    ):
        info = ServerInfoServiceStub(channel)
        before = info.ReloadFacts(request, timeout=70)
        file = directory / "contoso.toml"
        text = file.read_text()
        file.write_text(text.replace("[users.adele]", "[users.adele]\nfrozen = true"))
        after = info.ReloadFacts(request, timeout=70)
        frozen = [reason(engine, "adele") for engine in (one, two)]
        file.write_text("[tenant")
        broken = info.ReloadFacts(request, timeout=70)

    assert frozen == ["REASON_ACCOUNT_FROZEN"] * 2
    versions = [{one.directory_version for one in each.processes} for each in (before, after)]
    assert [each.done for each in (before, after, broken)] == [True] * 3
    assert [len(each.processes) for each in (before, after)] == [2, 2]
    assert [len(each) for each in versions] == [1, 1]
    assert versions[0] != versions[1]
    assert all("contoso.toml" in one.problems[0] for one in broken.processes)


def test_a_new_tenant_is_never_forbidden_and_one_that_does_not_exist_is(
    tmp_path: Path, redis: OwnRedis, directory: Path
) -> None:
    settings = {"redis_url": redis.url, "directory_folder": directory}
    with running_engine(tmp_path / "one", **settings) as engine:
        nobody = failure_of(lambda: engine.balance("woodgrove"))
        shutil.copy(ROOT / "data" / "directory" / "adatum.toml", directory)
        asked: list[grpc.StatusCode] = []

        def is_served() -> bool:
            try:
                engine.balance("adatum")
            except grpc.RpcError as error:
                asked.append(cast("grpc.Call", error).code())
                return False
            return True

        wait_until(is_served, 60)

    assert nobody.reason == "TENANT_FORBIDDEN"
    assert set(asked) <= {grpc.StatusCode.UNAVAILABLE}
