"""What a lost store lost comes back by itself, for as long as the gateway lives."""

from __future__ import annotations

import shutil
from pathlib import Path

import grpc
import pytest

from callgate import AuthorizeCallRequest, Client, ClientOptions, UserCall
from callgate.client.answered import KEEP_SECONDS, Answered
from engines import Engine, running_engine, running_redis
from gateway_desk import ITALY, HandClock
from serving import eventually

WAIT_SECONDS = 30.0


def money(engine: Engine) -> tuple[int, int] | None:
    """Read what was debited and what is reserved; None while the account is not open again."""
    try:
        balance = engine.balance("contoso")
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return None
    return balance.debited.micros, balance.reserved.micros


async def test_an_end_that_was_answered_and_lost_is_charged_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callgate.client.client.EPOCH_SECONDS", 0.1)
    clock = HandClock()
    # Nothing is archived here, as if all of it had waited when the store was lost.
    with (
        running_redis(tmp_path / "redis") as redis,
        running_engine(tmp_path / "engine", redis_url=redis.url, run_keeper=False) as engine,
    ):
        async with Client(engine.address, ClientOptions(clock=clock)) as client:
            question = AuthorizeCallRequest(
                tenant_id="contoso", called_number=ITALY, user_call=UserCall(user_id="adele")
            )
            async with client.call(question) as call:
                call.answered()
                await clock.advance(61)
            assert call.settlement is not None
            before = money(engine)
            await eventually(lambda: client.store_epoch > 0, WAIT_SECONDS)

            redis.command("FLUSHALL")
            await eventually(lambda: money(engine) == before, WAIT_SECONDS)

    assert before == (200_000, 0)


async def test_an_end_of_which_only_a_store_that_began_anew_knew_is_charged_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callgate.client.client.EPOCH_SECONDS", 0.1)
    clock = HandClock()
    kept = tmp_path / "redis" / "appendonlydir"
    # Neither the archive nor the store's file has it: nothing says that a tail is missing.
    with (
        running_redis(tmp_path / "redis") as redis,
        running_engine(tmp_path / "engine", redis_url=redis.url, run_keeper=False) as engine,
    ):
        async with Client(engine.address, ClientOptions(clock=clock)) as client:
            await eventually(lambda: client.store_epoch > 0, WAIT_SECONDS)
            shutil.copytree(kept, tmp_path / "older")
            question = AuthorizeCallRequest(
                tenant_id="contoso", called_number=ITALY, user_call=UserCall(user_id="adele")
            )
            async with client.call(question) as call:
                call.answered()
                await clock.advance(61)
            assert call.settlement is not None
            before, was = money(engine), client.store_epoch

            redis.kill()
            shutil.rmtree(kept)
            (tmp_path / "older").rename(kept)
            redis.start()
            await eventually(lambda: client.store_epoch > was, WAIT_SECONDS)
            await eventually(lambda: money(engine) == before, WAIT_SECONDS)

    assert before == (200_000, 0)


def test_answered_ends_are_kept_for_a_while_and_not_without_end() -> None:
    now = [0.0]
    answered = Answered(lambda: now[0], max_records=3)

    for number in range(5):
        answered.keep(b"%d" % number)
    assert answered.recent() == [b"2", b"3", b"4"]
    now[0] = KEEP_SECONDS + 1
    answered.keep(b"new")

    assert answered.recent() == [b"new"]
