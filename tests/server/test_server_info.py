"""What an engine tells of itself."""

from __future__ import annotations

import pytest

from server.app.services import recommended_connections, server_info
from server.settings import Settings
from server.transport import TransportOptions


@pytest.mark.parametrize(("workers", "wanted"), [(1, 1), (2, 4), (7, 14), (8, 16), (64, 16)])
def test_a_client_opens_two_connections_to_each_of_several_workers_but_no_more_than_sixteen(
    workers: int, wanted: int
) -> None:
    assert recommended_connections(workers) == wanted


def test_an_engine_tells_its_limits_as_they_are_set() -> None:
    settings = Settings(workers=3, deadline_ms=250, drain_seconds=7)

    told = server_info(
        settings,
        TransportOptions(max_receive_message_bytes=9_000),
        transport="grpcio",
        available=("nghttp2", "grpcio"),
    )

    assert (told.workers, told.transport) == (3, "grpcio")
    assert list(told.available_transports) == ["nghttp2", "grpcio"]
    assert told.limits.max_message_bytes == 9_000
    assert told.limits.deadline.ToMilliseconds() == 250
    assert told.limits.drain_duration.seconds == 7
    assert list(told.contract_versions) == ["callgate.v1"]
    assert told.engine_version
