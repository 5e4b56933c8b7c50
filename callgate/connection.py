"""One connection to an engine: questions out, answers or two kinds of error back."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf.message import Message

from callgate.errors import error_of
from callgate.v1 import (
    authorization_pb2,
    authorization_pb2_grpc,
    credits_pb2,
    credits_pb2_grpc,
    debits_pb2,
    debits_pb2_grpc,
)

DEFAULT_ADDRESS = "127.0.0.1:50051"
# The server answers or gives up within its own deadline (500 ms unless set otherwise); the rest
# is for connecting.
DEFAULT_DEADLINE_SECONDS = 5.0

# An engine stands beside its callers: a proxy for the web is never on the way to it.
_OPTIONS = (("grpc.enable_http_proxy", 0),)

_Question = TypeVar("_Question", bound=Message)
_Answer = TypeVar("_Answer", bound=Message)


class Connection:
    """Ask an engine at `address` ("host:port" or "unix:/path"), each question with a deadline.

    Every method raises `Mistake` or `NoAnswer` (see `callgate.errors`) and asks once: who repeats
    a question, and when, is the caller's to say.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        deadline_seconds: float = DEFAULT_DEADLINE_SECONDS,
    ) -> None:
        self._deadline_seconds = deadline_seconds
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._authorization = authorization_pb2_grpc.AuthorizationServiceStub(self._channel)
        self._credits = credits_pb2_grpc.CreditServiceStub(self._channel)
        self._debits = debits_pb2_grpc.DebitServiceStub(self._channel)

    def authorize_call(
        self, question: authorization_pb2.AuthorizeCallRequest
    ) -> authorization_pb2.AuthorizeCallResponse:
        """Ask whether a call may be placed; a refusal is returned, not raised."""
        return self._ask(self._authorization.AuthorizeCall, question)

    def extend_call(
        self, question: authorization_pb2.ExtendCallRequest
    ) -> authorization_pb2.ExtendCallResponse:
        """Report the use of a call and ask for more time; a refusal is returned, not raised."""
        return self._ask(self._authorization.ExtendCall, question)

    def settle_call(
        self, question: authorization_pb2.SettleCallRequest
    ) -> authorization_pb2.SettleCallResponse:
        """Report the end of a call."""
        return self._ask(self._authorization.SettleCall, question)

    def list_calls(
        self, question: authorization_pb2.ListCallsRequest
    ) -> authorization_pb2.ListCallsResponse:
        """List running calls of one tenant, page by page."""
        return self._ask(self._authorization.ListCalls, question)

    def watch_debits(
        self, question: debits_pb2.WatchDebitsRequest
    ) -> Iterator[debits_pb2.WatchDebitsResponse]:
        """Read a tenant's movements as they happen; ends where the engine ends the stream.

        To go on after an end or an error, ask again with the cursor of the last response.
        """
        stream = self._debits.WatchDebits(question)
        try:
            yield from stream
        except grpc.RpcError as error:
            raise error_of(error) from error
        finally:
            stream.cancel()

    def get_emergency_numbers(
        self, question: authorization_pb2.GetEmergencyNumbersRequest
    ) -> authorization_pb2.GetEmergencyNumbersResponse:
        """Read the numbers to let pass when no answer comes."""
        return self._ask(self._authorization.GetEmergencyNumbers, question)

    def get_balance(
        self, question: credits_pb2.GetBalanceRequest
    ) -> credits_pb2.GetBalanceResponse:
        """Read the money of one tenant."""
        return self._ask(self._credits.GetBalance, question)

    def close(self) -> None:
        """Close the channel; a question still under way ends without an answer."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(
        self, method: grpc.UnaryUnaryMultiCallable[_Question, _Answer], question: _Question
    ) -> _Answer:
        try:
            return method(question, timeout=self._deadline_seconds)
        except grpc.RpcError as error:
            raise error_of(error) from error
