"""Cursors and pages of another's lists lead nobody into them."""

from __future__ import annotations

import grpc

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.debits_pb2 import WatchDebitsRequest
from callgate.v1.debits_pb2_grpc import DebitServiceStub
from engines import Engine, a_question, failure_of
from identities import TOKENS

THEIRS = (("authorization", f"Bearer {TOKENS['bridge']}"),)
MINE = (("authorization", f"Bearer {TOKENS['other-bridge']}"),)


def test_a_page_of_anothers_calls_shows_none_of_them(engine: Engine) -> None:
    """J1."""
    for _ in range(2):
        question = a_question()
        assert engine.stub.AuthorizeCall(question, metadata=THEIRS, timeout=5).HasField("grant")
    theirs = engine.stub.ListCalls(
        pb.ListCallsRequest(tenant_id="contoso", page_size=1), metadata=THEIRS, timeout=5
    )
    assert theirs.next_page_token

    found = engine.stub.ListCalls(
        pb.ListCallsRequest(tenant_id="fabrikam", page_token=theirs.next_page_token),
        metadata=MINE,
        timeout=5,
    )

    assert list(found.calls) == []


def test_a_cursor_of_anothers_debits_is_no_cursor(engine: Engine) -> None:
    """J1."""
    with grpc.insecure_channel(engine.address) as channel:
        stub = DebitServiceStub(channel)
        watching = stub.WatchDebits(WatchDebitsRequest(tenant_id="contoso"), metadata=THEIRS)
        cursor = next(watching).cursor
        watching.cancel()

        def watch(place: str) -> object:
            request = WatchDebitsRequest(tenant_id="fabrikam", cursor=place)
            return next(stub.WatchDebits(request, metadata=MINE, timeout=5))

        assert failure_of(lambda: watch(cursor)) == failure_of(lambda: watch("made-up"))
