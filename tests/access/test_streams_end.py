"""Streams end soon after the identity that opened them does, and say why."""

from __future__ import annotations

import queue
import threading
import time
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from callgate.v1 import access_pb2 as access
from callgate.v1 import authorization_pb2 as pb
from callgate.v1.access_pb2_grpc import AccessServiceStub
from callgate.v1.debits_pb2 import WatchDebitsRequest
from callgate.v1.debits_pb2_grpc import DebitServiceStub
from engines import Engine, failure_of, wait_until
from identities import TOKENS, identity

# Promised are 5 s.
SOON_SECONDS = 5.0


class Open:
    """A stream that is read until it ends."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.began = threading.Event()
        self.error: grpc.RpcError | None = None
        self.ended_at = 0.0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for _ in self._stream:
                self.began.set()
        except grpc.RpcError as error:
            self.error = error
        self.ended_at = time.monotonic()

    def end(self) -> tuple[str, str]:
        """Wait for its end; tell the status and the reason."""
        self._thread.join(2 * SOON_SECONDS)
        assert self.error is not None, "the stream goes on"

        def fail() -> None:
            assert self.error is not None
            raise self.error

        failed = failure_of(fail)
        return failed.code.name, failed.reason

    def cancel(self) -> None:
        self._stream.cancel()
        self._thread.join(5)


def watching(channel: grpc.Channel, token: str) -> Open:
    request = WatchDebitsRequest(tenant_id="contoso")
    metadata = (("authorization", f"Bearer {token}"),)
    stream = Open(DebitServiceStub(channel).WatchDebits(request, metadata=metadata))
    assert stream.began.wait(5)
    return stream


def controlling(engine: Engine, token: str, gateway_id: str) -> Open:
    out: queue.SimpleQueue[pb.ControlCallsRequest] = queue.SimpleQueue()
    hello = pb.ControlHello(gateway_id=gateway_id, tenant_ids=["contoso"])
    question = pb.ControlQuestion(item_id=1, authorize_call=pb.AuthorizeCallRequest())
    out.put(pb.ControlCallsRequest(hello=hello, questions=[question]))
    metadata = (("authorization", f"Bearer {token}"),)
    stream = Open(engine.stub.ControlCalls(iter(out.get, None), metadata=metadata))
    assert stream.began.wait(5)
    return stream


def made(channel: grpc.Channel, name: str, **more: Any) -> str:
    request = access.CreateTokenRequest(
        identity=access.Identity(
            identity_id=name, roles=[access.ROLE_BRIDGE], tenant_ids=["contoso"]
        ),
        **more,
    )
    metadata = (("authorization", f"Bearer {TOKENS['operator']}"),)
    return AccessServiceStub(channel).CreateToken(request, metadata=metadata, timeout=5).token


def test_streams_of_a_revoked_token_end_soon_and_others_go_on(
    engine: Engine, channel: grpc.Channel
) -> None:
    token = made(channel, "to-be-revoked")
    watch, control = watching(channel, token), controlling(engine, token, "sbc-revoked")
    other = watching(channel, TOKENS["bridge"])
    metadata = (("authorization", f"Bearer {TOKENS['operator']}"),)

    revoked_at = time.monotonic()
    request = access.RevokeTokenRequest(identity_id="to-be-revoked")
    AccessServiceStub(channel).RevokeToken(request, metadata=metadata, timeout=5)

    for stream in (watch, control):
        assert stream.end() == ("UNAUTHENTICATED", "IDENTITY_ENDED")
        assert stream.ended_at - revoked_at < SOON_SECONDS
    assert other.error is None
    other.cancel()


def test_a_stream_goes_on_through_a_rotation(engine: Engine, channel: grpc.Channel) -> None:
    token = made(channel, "to-be-rotated")
    watch = watching(channel, token)
    metadata = (("authorization", f"Bearer {TOKENS['operator']}"),)

    request = access.RotateTokenRequest(identity_id="to-be-rotated")
    AccessServiceStub(channel).RotateToken(request, metadata=metadata, timeout=5)

    time.sleep(2)
    assert watch.error is None
    watch.cancel()


def test_an_identity_taken_out_of_the_file_ends_its_streams(
    engine: Engine, channel: grpc.Channel, tmp_path: Path
) -> None:
    path = engine.folder / "identities.toml"
    before = path.read_text()
    path.write_text(before + identity("last", "reader", tenants='["contoso"]'))
    wait_until(lambda: _reads(channel, TOKENS["last"]))
    watch = watching(channel, TOKENS["last"])

    removed_at = time.monotonic()
    path.write_text(before)

    assert watch.end() == ("UNAUTHENTICATED", "IDENTITY_ENDED")
    assert watch.ended_at - removed_at < SOON_SECONDS


def test_a_broken_file_leaves_everybody_in(engine: Engine, channel: grpc.Channel) -> None:
    path = engine.folder / "identities.toml"
    before = path.read_text()

    path.write_text(before + "[identities.broken]\nroles = ['king']\ntenants = 'all'\n")
    wait_until(lambda: "identities.broken.roles" in engine.log)

    assert _reads(channel, TOKENS["bridge"])
    path.write_text(before)


def test_a_stream_ends_when_its_token_does(engine: Engine, channel: grpc.Channel) -> None:
    token = made(channel, "expiring", expire_time=_in(61))
    watch = watching(channel, token)
    metadata = (("authorization", f"Bearer {TOKENS['operator']}"),)

    # A rotation whose overlap is over in a moment ends the old token by its expiry.
    request = access.RotateTokenRequest(identity_id="expiring")
    request.overlap_duration.seconds = 2
    rotated_at = time.monotonic()
    AccessServiceStub(channel).RotateToken(request, metadata=metadata, timeout=5)

    assert watch.end() == ("UNAUTHENTICATED", "IDENTITY_ENDED")
    assert 2 <= watch.ended_at - rotated_at < 2 + SOON_SECONDS


def _reads(channel: grpc.Channel, token: str) -> bool:
    try:
        watching(channel, token).cancel()
    except AssertionError:
        return False
    return True


def _in(seconds: int) -> Timestamp:
    return Timestamp(seconds=int(time.time()) + seconds)
