"""Reading ErrorInfo by hand: compared with the real messages, and on bytes that are none."""

from __future__ import annotations

import random

import pytest
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from callgate.error_info import ErrorInfo, error_info_of


def a_status(*details: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> Status:
    status = Status(code=14, message="the ledger is away")
    for detail in details:
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def test_reason_domain_and_metadata_are_read() -> None:
    info = error_details_pb2.ErrorInfo(
        reason="INVALID_REQUEST",
        domain="callgate.v1",
        metadata={"field": "called_number", "empty": "", "long": "x" * 300, "città": "però"},
    )

    assert error_info_of(a_status(info).SerializeToString()) == ErrorInfo(
        "INVALID_REQUEST", "callgate.v1", dict(info.metadata)
    )


def test_other_details_are_stepped_over() -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1_500)
    info = error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="callgate.v1")

    found = error_info_of(a_status(retry, info).SerializeToString())

    assert found == ErrorInfo("OVERLOADED", "callgate.v1", {})


def test_a_status_without_one_has_none() -> None:
    assert error_info_of(a_status().SerializeToString()) is None
    assert error_info_of(b"") is None


def test_bytes_that_are_no_status_give_none_and_no_error() -> None:
    info = error_details_pb2.ErrorInfo(reason="R", domain="d", metadata={"field": "tenant_id"})
    whole = a_status(info).SerializeToString()
    cut = [whole[:end] for end in range(len(whole))]

    assert {error_info_of(part) for part in cut} == {None}


def test_noise_never_raises() -> None:
    chance = random.Random(7)

    for _ in range(5_000):
        error_info_of(chance.randbytes(chance.randrange(40)))


@pytest.mark.parametrize("unused", [b"\x0b", b"\xff" * 11])
def test_a_wire_type_or_number_nobody_writes_gives_none(unused: bytes) -> None:
    assert error_info_of(unused) is None
