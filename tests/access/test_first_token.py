"""The first token of an archive: made once, by whoever runs the engine's command."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner

from callgate.v1.access_pb2 import ListIdentitiesRequest
from callgate.v1.access_pb2_grpc import AccessServiceStub
from engines import running_engine
from server.__main__ import main


def test_who_has_the_first_token_may_make_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    runner, where = CliRunner(), {"CALLGATE_DATA_FOLDER": str(folder / "data")}

    made = runner.invoke(main, ["first-token", "--name", "olga"], env=where)
    again = runner.invoke(main, ["first-token"], env=where)

    assert (made.exit_code, again.exit_code) == (0, 1)
    assert "knows olga already" in again.stderr
    token = made.stdout.strip()
    with (
        running_engine(folder, identities="archive") as engine,
        grpc.insecure_channel(engine.address) as channel,
    ):
        assert "nobody is known" not in engine.log
        told = AccessServiceStub(channel).ListIdentities(
            ListIdentitiesRequest(), metadata=(("authorization", f"Bearer {token}"),)
        )
    assert [one.identity_id for one in told.identities] == ["olga"]


def test_an_engine_that_knows_nobody_says_so_and_how_the_first_token_is_made(
    tmp_path: Path,
) -> None:
    with (
        running_engine(tmp_path, identities="archive") as engine,
        grpc.insecure_channel(engine.address) as channel,
    ):
        assert "python -m server first-token" in engine.log
        with pytest.raises(grpc.RpcError):
            AccessServiceStub(channel).ListIdentities(ListIdentitiesRequest())
