"""What the package offers: names that load late, errors that say what to do, a whole twin."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

import callgate
from callgate import blocking
from callgate.client.client import Client
from callgate.client.control import Control
from callgate.client.session import CallSession
from callgate.errors import (
    CallEnded,
    CallgateError,
    CallUnknown,
    Forbidden,
    Mistake,
    NoAnswer,
    Overloaded,
    StreamReplaced,
    control_error_of,
    error_of,
)
from callgate.v1 import authorization_pb2 as pb

UNAVAILABLE, EXHAUSTED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED
NOT_FOUND, INVALID = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT


def an_error(
    code: grpc.StatusCode,
    *,
    reason: str = "",
    retry_ms: int | None = None,
    pushback: str | None = None,
    text: str = "",
    **metadata: str,
) -> CallgateError:
    """Make what grpc raises, and what becomes of it."""
    status = Status(code=code.value[0])
    for detail in (ErrorInfo(reason=reason, domain="callgate.v1", metadata=metadata),):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    if retry_ms is not None:
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(retry_ms)
        packed = AnyMessage()
        packed.Pack(retry)
        status.details.append(packed)
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString()))
    if pushback is not None:
        trailing.add("grpc-retry-pushback-ms", pushback)
    return error_of(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, text))


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (UNAVAILABLE, "LEDGER_UNAVAILABLE", NoAnswer),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", NoAnswer),
        (EXHAUSTED, "OVERLOADED", Overloaded),
        (INVALID, "FIELD_INVALID", Mistake),
        (grpc.StatusCode.PERMISSION_DENIED, "TENANT_FORBIDDEN", Forbidden),
        (NOT_FOUND, "CALL_UNKNOWN", CallUnknown),
        (NOT_FOUND, "CALL_ENDED", CallEnded),
        (grpc.StatusCode.ABORTED, "REPLACED", StreamReplaced),
    ],
)
def test_each_failure_has_its_kind(
    code: grpc.StatusCode, reason: str, kind: type[CallgateError]
) -> None:
    error = an_error(code, reason=reason)

    assert type(error) is kind
    assert error.reason == reason
    assert error.fix


@pytest.mark.parametrize(
    ("code", "retry_ms", "pushback", "is_retryable", "after"),
    [
        (UNAVAILABLE, None, None, True, None),
        (UNAVAILABLE, 1_500, None, True, 1.5),
        (UNAVAILABLE, 1_500, "200", True, 0.2),
        (UNAVAILABLE, None, "-1", False, None),
        (UNAVAILABLE, None, "soon", False, None),
        (EXHAUSTED, None, None, False, None),
        (EXHAUSTED, 300, None, True, 0.3),
        (INVALID, None, None, False, None),
        (grpc.StatusCode.INTERNAL, None, None, False, None),
    ],
)
def test_an_error_says_whether_and_when_to_ask_again(
    code: grpc.StatusCode,
    retry_ms: int | None,
    pushback: str | None,
    is_retryable: bool,
    after: float | None,
) -> None:
    error = an_error(code, retry_ms=retry_ms, pushback=pushback)

    assert (error.is_retryable, error.retry_after_seconds) == (is_retryable, after)


def test_a_mistake_names_its_field_and_the_fix() -> None:
    error = an_error(
        INVALID, reason="FIELD_INVALID", text="called_number: at most 64", field="called_number"
    )

    assert (error.field, error.fix) == ("called_number", "at most 64")


def test_a_failed_question_of_a_stream_is_the_error_of_a_unary_one() -> None:
    told = pb.ControlError(
        code=NOT_FOUND.value[0], reason="CALL_ENDED", metadata={"state": "settled"}
    )

    error = control_error_of(told)

    assert isinstance(error, CallEnded)
    assert error.state == "settled"
    assert error.retry_after_seconds is None


def test_importing_the_package_loads_nothing() -> None:
    program = "import sys, callgate; sys.exit('grpc' in sys.modules or 'asyncio' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_name_of_the_package_is_there() -> None:
    missing = [name for name in callgate.__all__ if not hasattr(callgate, name)]

    assert missing == []
    assert set(callgate.__all__) == set(callgate._HOME_OF)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Klient"):
        getattr(callgate, "Klient")  # noqa: B009 -- mypy knows that it is not there


@pytest.mark.parametrize(
    ("one", "twin"),
    [
        (Client, blocking.Client),
        (CallSession, blocking.CallSession),
        (Control, blocking.Control),
    ],
)
def test_the_blocking_twin_has_every_name_and_every_parameter(
    one: type[Any], twin: type[Any]
) -> None:
    # What the stream tells a session is between the two of them.
    inner = {"take_push", "take_sequence", "ask_now"}
    names = {name for name in vars(one) if not name.startswith("_")} - inner

    assert names <= set(dir(twin))
    for name in names:
        mine, its = getattr(one, name), getattr(twin, name)
        if callable(mine):
            wanted = list(inspect.signature(mine).parameters)
            assert list(inspect.signature(its).parameters)[: len(wanted)] == wanted, name
