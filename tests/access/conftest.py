"""An engine that asks who asks, for each file of tests; tokens come from a file and the archive."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from engines import Engine, running_engine
from identities import an_identities_file


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    path = an_identities_file(folder)
    with running_engine(folder, identities=f"{path},archive", run_keeper=False) as running:
        yield running


@pytest.fixture(scope="module")
def channel(engine: Engine) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(engine.address) as opened:
        yield opened
