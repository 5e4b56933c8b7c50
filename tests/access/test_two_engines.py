"""Several engines on one archive: what one is told of tokens, all know soon."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from callgate.v1 import access_pb2 as pb
from callgate.v1.access_pb2_grpc import AccessServiceStub
from engines import Engine, a_question, running_engine, running_redis, wait_until
from identities import TOKENS, an_identities_file

# Promised are 5 s.
SOON_SECONDS = 5.0


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[tuple[Engine, Engine]]:
    shared = {
        "archive_url": f"sqlite:///{tmp_path / 'archive.sqlite'}",
        "identities": f"{an_identities_file(tmp_path)},archive",
        "run_keeper": "false",
    }
    with (
        running_redis(tmp_path / "redis") as redis,
        running_engine(tmp_path / "one", redis_url=redis.url, **shared) as one,
        running_engine(tmp_path / "two", redis_url=redis.url, **shared) as two,
    ):
        yield one, two


def may_ask(engine: Engine, token: str) -> bool:
    metadata = (("authorization", f"Bearer {token}"),)
    call = engine.stub.AuthorizeCall.future(a_question(), metadata=metadata, timeout=5)
    assert call.code() in {grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED}
    return call.code() is grpc.StatusCode.OK


def test_a_revocation_at_one_engine_counts_at_the_other_soon(
    engines: tuple[Engine, Engine],
) -> None:
    one, two = engines
    metadata = (("authorization", f"Bearer {TOKENS['operator']}"),)
    identity = pb.Identity(identity_id="sbc", roles=[pb.ROLE_BRIDGE], tenant_ids=["contoso"])
    with grpc.insecure_channel(one.address) as channel:
        stub = AccessServiceStub(channel)
        made = stub.CreateToken(
            pb.CreateTokenRequest(identity=identity), metadata=metadata, timeout=5
        )
        wait_until(lambda: may_ask(two, made.token), SOON_SECONDS)

        stub.RevokeToken(pb.RevokeTokenRequest(identity_id="sbc"), metadata=metadata, timeout=5)
        revoked_at = time.monotonic()
        wait_until(lambda: not may_ask(two, made.token), SOON_SECONDS)

    assert time.monotonic() - revoked_at < SOON_SECONDS
    assert not may_ask(one, made.token)


def test_the_first_operator_is_made_where_nobody_is_asked_yet(tmp_path: Path) -> None:
    boss = pb.Identity(identity_id="boss", roles=[pb.ROLE_OPERATOR], all_tenants=True)
    request = pb.CreateTokenRequest(identity=boss)
    with (
        running_engine(tmp_path, run_keeper=False) as engine,
        grpc.insecure_channel(engine.address) as channel,
    ):
        made = AccessServiceStub(channel).CreateToken(request, timeout=5)

    with (
        running_engine(tmp_path, identities="archive", run_keeper=False) as engine,
        grpc.insecure_channel(engine.address) as channel,
    ):
        metadata = (("authorization", f"Bearer {made.token}"),)
        listed = AccessServiceStub(channel).ListIdentities(
            pb.ListIdentitiesRequest(), metadata=metadata, timeout=5
        )

    assert [one.identity_id for one in listed.identities] == ["boss"]


def test_where_only_a_file_counts_no_token_is_made_in_vain(tmp_path: Path) -> None:
    path = an_identities_file(tmp_path)
    metadata = (("authorization", f"Bearer {TOKENS['operator']}"),)
    boss = pb.Identity(identity_id="boss", roles=[pb.ROLE_OPERATOR], all_tenants=True)
    request = pb.CreateTokenRequest(identity=boss)
    with (
        running_engine(tmp_path, identities=path, run_keeper=False) as engine,
        grpc.insecure_channel(engine.address) as channel,
    ):
        call = AccessServiceStub(channel).CreateToken.future(request, metadata=metadata, timeout=5)

        assert call.code() is grpc.StatusCode.FAILED_PRECONDITION
