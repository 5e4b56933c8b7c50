"""An empty `grpc.aio` server of the same messages: what grpcio costs before anything is done."""

from __future__ import annotations

import asyncio
import sys

import grpc.aio
import uvloop

from callgate.v1 import authorization_pb2 as pb

SERVICE = "callgate.v1.AuthorizationService"


async def echo(request: pb.AuthorizeCallRequest, _context: object) -> pb.AuthorizeCallResponse:
    """Give back what was asked, in an answer of the usual kind."""
    return pb.AuthorizeCallResponse(
        decision_id=request.call_id,
        called_number=request.called_number,
        payer=pb.Payer(tenant_id=request.tenant_id, account_id=request.user_call.user_id),
    )


async def serve() -> None:
    """Serve until killed."""
    echo_server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        echo,
        request_deserializer=pb.AuthorizeCallRequest.FromString,
        response_serializer=pb.AuthorizeCallResponse.SerializeToString,
    )
    # As generated code does it since grpcio 1.64: the quicker way to find a method.
    handlers = {"AuthorizeCall": handler}
    generic = grpc.method_handlers_generic_handler(SERVICE, handlers)
    echo_server.add_generic_rpc_handlers((generic,))
    echo_server.add_registered_method_handlers(SERVICE, handlers)
    port = echo_server.add_insecure_port("127.0.0.1:0")
    await echo_server.start()
    sys.stdout.write(f"Listening on 127.0.0.1:{port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
