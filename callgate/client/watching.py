"""A tenant's movements, read on through every end of a stream: no gap, no duplicate."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc.aio

from callgate.client.connections import PACKAGE, Connections
from callgate.errors import CallgateError, NoAnswer, error_of
from callgate.v1.debits_pb2 import AccountState, WatchDebitsRequest, WatchDebitsResponse
from callgate.v1.money_pb2 import Money

# Many readers of a server that stopped come back one after the other, not all at once.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewEpoch:
    """The engine's store was lost and filled from the archive: take these sums over, go on.

    What came before does not add up with what comes after. `cursor` resumes from here.
    """

    cursor: str
    account: AccountState


async def watch(
    connections: Connections, question: WatchDebitsRequest
) -> AsyncIterator[WatchDebitsResponse | NewEpoch]:
    """Yield responses, each stream going on where the last one ended.

    Raises `NoAnswer` only where nothing came yet and no cursor was given; raises `Mistake` for a
    tenant or cursor that is wrong.
    """
    asked = WatchDebitsRequest()
    asked.CopyFrom(question)
    pause_seconds = FIRST_PAUSE_SECONDS
    attempt = 0
    while True:
        attempt += 1
        try:
            async for response in _read(connections, asked, attempt):
                asked.cursor = response.cursor
                pause_seconds = FIRST_PAUSE_SECONDS
                yield response
        except NoAnswer as trouble:
            if not asked.cursor:
                raise
            _log.info("Watching on after: %s %s", trouble.reason or trouble.code, trouble)
            if trouble.reason == "EPOCH_ENDED":
                snapshot = _snapshot(trouble)
                asked.cursor = snapshot.cursor
                yield snapshot
        await asyncio.sleep(random.uniform(0, pause_seconds))
        pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)


async def _read(
    connections: Connections, question: WatchDebitsRequest, attempt: int
) -> AsyncIterator[WatchDebitsResponse]:
    connection = connections.pick(question.tenant_id, attempt)
    # Who has begun waits for the connection; an engine that never answered is told of at once.
    stream = connection.channel.unary_stream(
        f"/{PACKAGE}.DebitService/WatchDebits",
        request_serializer=WatchDebitsRequest.SerializeToString,
        response_deserializer=WatchDebitsResponse.FromString,
    )(question, metadata=connection.metadata, wait_for_ready=bool(question.cursor))
    try:
        async for response in stream:
            yield response
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error
    finally:
        stream.cancel()


def _snapshot(ended: CallgateError) -> NewEpoch:
    """Read the snapshot that stands in the metadata of EPOCH_ENDED."""
    told = ended.metadata

    def money(name: str) -> Money | None:
        micros = told.get(f"{name}_micros")
        if micros is None:
            return None
        return Money(micros=int(micros), currency_code=told.get("currency_code", ""))

    account = AccountState(
        available=money("available"), reserved=money("reserved"), debited=money("debited")
    )
    return NewEpoch(told["cursor"], account)
