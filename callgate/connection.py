"""One connection to an engine: questions out, answers or two kinds of error back."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from callgate.credentials import ANONYMOUS, Credentials
from callgate.errors import ClientMisused, error_of
from callgate.opened import NOT_OPEN, OwnProcess, check_address
from callgate.v1 import (
    access_pb2,
    access_pb2_grpc,
    advice_pb2_grpc,
    authorization_pb2,
    authorization_pb2_grpc,
    credits_pb2,
    credits_pb2_grpc,
    decisions_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
    notices_pb2,
    notices_pb2_grpc,
    rates_pb2,
    rates_pb2_grpc,
    usage_pb2,
    usage_pb2_grpc,
)

DEFAULT_ADDRESS = "127.0.0.1:50051"
# The server answers or gives up within its own deadline (500 ms unless set otherwise); the rest
# is for connecting.
DEFAULT_DEADLINE_SECONDS = 5.0

# An engine stands beside its callers: a proxy for the web is never on the way to it.
_OPTIONS = (("grpc.enable_http_proxy", 0),)

# For a client that stays: it comes back soon after the engine does, notices a machine that is gone,
# and has a connection of its own, where grpcio would share one between channels that look alike.
_LASTING_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)

# HealthCheckResponse{status: SERVING}.
_SERVING = b"\x08\x01"

_Question = TypeVar("_Question")
_Answer = TypeVar("_Answer")


def open_channel(address: str, credentials: Credentials = ANONYMOUS) -> grpc.aio.Channel:
    """Open an asynchronous channel that stays, with a connection of its own.

    `credentials.metadata` is to be sent with each question on it.
    """
    return credentials.open_asynchronous_channel(address, (*_OPTIONS, *_LASTING_OPTIONS))


class Connection:
    """Ask an engine at `address` ("host:port" or "unix:/path"), each question with a deadline.

    Raises `AddressWrong`, `OSError` where a file of the credentials cannot be read, and
    `ValueError` where others could read their token on its way.

    Every method raises `Mistake` or `NoAnswer` (see `callgate.errors`) and asks once: who repeats
    a question, and when, is the caller's to say.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        deadline_seconds: float = DEFAULT_DEADLINE_SECONDS,
        credentials: Credentials = ANONYMOUS,
    ) -> None:
        check_address(address)
        self._process = OwnProcess()
        self._deadline_seconds = deadline_seconds
        self._metadata = credentials.metadata
        self._channel = credentials.open_channel(address, _OPTIONS)
        self._access = access_pb2_grpc.AccessServiceStub(self._channel)
        self._advice = advice_pb2_grpc.AdviceServiceStub(self._channel)
        self._authorization = authorization_pb2_grpc.AuthorizationServiceStub(self._channel)
        self._credits = credits_pb2_grpc.CreditServiceStub(self._channel)
        self._decisions = decisions_pb2_grpc.DecisionServiceStub(self._channel)
        self._directory = directory_pb2_grpc.DirectoryServiceStub(self._channel)
        self._notices = notices_pb2_grpc.NoticeServiceStub(self._channel)
        self._rates = rates_pb2_grpc.RateServiceStub(self._channel)
        self._usage = usage_pb2_grpc.UsageServiceStub(self._channel)

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

    def create_token(
        self, question: access_pb2.CreateTokenRequest
    ) -> access_pb2.CreateTokenResponse:
        """Make an identity with its first token, which only this answer shows."""
        return self._ask(self._access.CreateToken, question)

    def rotate_token(
        self, question: access_pb2.RotateTokenRequest
    ) -> access_pb2.RotateTokenResponse:
        """Give an identity another token, which only this answer shows."""
        return self._ask(self._access.RotateToken, question)

    def revoke_token(
        self, question: access_pb2.RevokeTokenRequest
    ) -> access_pb2.RevokeTokenResponse:
        """Remove an identity with all its tokens."""
        return self._ask(self._access.RevokeToken, question)

    def list_identities(
        self, question: access_pb2.ListIdentitiesRequest
    ) -> access_pb2.ListIdentitiesResponse:
        """List who may ask, page by page."""
        return self._ask(self._access.ListIdentities, question)

    def list_audit_entries(
        self, question: access_pb2.ListAuditEntriesRequest
    ) -> access_pb2.ListAuditEntriesResponse:
        """List administrative changes, the newest first, page by page."""
        return self._ask(self._access.ListAuditEntries, question)

    def list_notices(
        self, question: notices_pb2.ListNoticesRequest
    ) -> notices_pb2.ListNoticesResponse:
        """List what a tenant was told, the newest first, page by page."""
        return self._ask(self._notices.ListNotices, question)

    def preview_notice(
        self, question: notices_pb2.PreviewNoticeRequest
    ) -> notices_pb2.PreviewNoticeResponse:
        """Write a notice as it would be sent."""
        return self._ask(self._notices.PreviewNotice, question)

    def resend_notice(
        self, question: notices_pb2.ResendNoticeRequest
    ) -> notices_pb2.ResendNoticeResponse:
        """Send a notice once more."""
        return self._ask(self._notices.ResendNotice, question)

    def get_webhook_key(
        self, question: notices_pb2.GetWebhookKeyRequest
    ) -> notices_pb2.GetWebhookKeyResponse:
        """Read the key of a tenant's webhook."""
        return self._ask(self._notices.GetWebhookKey, question)

    def ask_credits(self, method: str, question: Message) -> Any:
        """Ask the CreditService by the name of a method."""
        return self._ask(getattr(self._credits, method), question)

    def ask_advice(self, method: str, question: Message) -> Any:
        """Ask the AdviceService by the name of a method."""
        return self._ask(getattr(self._advice, method), question)

    def ask_decisions(self, method: str, question: Message) -> Any:
        """Ask the DecisionService by the name of a method."""
        return self._ask(getattr(self._decisions, method), question)

    def ask_usage(self, method: str, question: Message) -> Any:
        """Ask the UsageService by the name of a method."""
        return self._ask(getattr(self._usage, method), question)

    def ask_directory(self, method: str, question: Message) -> Any:
        """Ask the DirectoryService by the name of a method."""
        return self._ask(getattr(self._directory, method), question)

    def ask_rates(self, method: str, question: Message) -> Any:
        """Ask the RateService by the name of a method."""
        return self._ask(getattr(self._rates, method), question)

    def import_rates(
        self, messages: Iterator[rates_pb2.ImportRatesRequest]
    ) -> Iterator[rates_pb2.ImportRatesResponse]:
        """Import a deck, and hear how it goes, for as long as it takes."""
        return self._stream(self._rates.ImportRates(messages, metadata=self._metadata))

    def back_test_usage(
        self, messages: Iterator[rates_pb2.BackTestUsageRequest]
    ) -> Iterator[rates_pb2.BackTestUsageResponse]:
        """Play usage with a tenant's file, and hear how it goes, for as long as it takes."""
        return self._stream(self._rates.BackTestUsage(messages, metadata=self._metadata))

    def import_directory(
        self, messages: Iterator[directory_pb2.ImportDirectoryRequest]
    ) -> Iterator[directory_pb2.ImportDirectoryResponse]:
        """Import a file, and hear how it goes, for as long as it takes."""
        return self._stream(self._directory.ImportDirectory(messages, metadata=self._metadata))

    def export_directory(
        self, question: directory_pb2.ExportDirectoryRequest
    ) -> Iterator[directory_pb2.ExportDirectoryResponse]:
        """Read a tenant as a file, in chunks."""
        return self._stream(self._directory.ExportDirectory(question, metadata=self._metadata))

    def export_usage(
        self, question: usage_pb2.ExportUsageRequest
    ) -> Iterator[usage_pb2.ExportUsageResponse]:
        """Read usage records as a file, in chunks."""
        return self._stream(self._usage.ExportUsage(question, metadata=self._metadata))

    def check_health(self, service: str = "") -> bool:
        """Ask the standard health service; "" is the engine as a whole."""
        # HealthCheckRequest and -Response by hand: one field each, and no package more for it.
        name = service.encode()
        check: grpc.UnaryUnaryMultiCallable[None, bytes] = self._channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=lambda _: bytes([0x0A, len(name)]) + name if name else b"",
            response_deserializer=bytes,
        )
        return bool(self._ask(check, None) == _SERVING)

    def close(self) -> None:
        """Close the channel; a question still under way ends without an answer."""
        if self._process.is_here:
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

    def _stream(self, stream: Iterator[_Answer]) -> Iterator[_Answer]:
        self._process.check()
        try:
            yield from stream
        except grpc.RpcError as error:
            raise error_of(error) from error

    def _ask(
        self, method: grpc.UnaryUnaryMultiCallable[_Question, _Answer], question: _Question
    ) -> _Answer:
        self._process.check()
        try:
            return method(question, timeout=self._deadline_seconds, metadata=self._metadata)
        except ValueError as error:
            # What grpcio says of a channel that was closed.
            raise ClientMisused(NOT_OPEN) from error
        except grpc.RpcError as error:
            raise error_of(error) from error
