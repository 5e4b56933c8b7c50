"""An empty `grpc.aio` server of the same messages: what grpcio costs before anything is done."""

from __future__ import annotations

import asyncio
import sys

import grpc.aio
import uvloop

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.authorization_pb2_grpc import (
    AuthorizationServiceServicer,
    add_AuthorizationServiceServicer_to_server,
)


class Echo(AuthorizationServiceServicer):
    """Grants everything, at once."""

    async def AuthorizeCall(  # noqa: N802 - Named by the proto.
        self, request: pb.AuthorizeCallRequest, _context: object
    ) -> pb.AuthorizeCallResponse:
        """Give back what was asked, in an answer of the usual kind."""
        return pb.AuthorizeCallResponse(
            decision_id=request.call_id,
            called_number=request.called_number,
            payer=pb.Payer(tenant_id=request.tenant_id, account_id=request.user_call.user_id),
        )


async def serve() -> None:
    """Serve until killed."""
    echo_server = grpc.aio.server()
    add_AuthorizationServiceServicer_to_server(Echo(), echo_server)  # type: ignore[no-untyped-call]
    port = echo_server.add_insecure_port("127.0.0.1:0")
    await echo_server.start()
    sys.stdout.write(f"Listening on 127.0.0.1:{port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
