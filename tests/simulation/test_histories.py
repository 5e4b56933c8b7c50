"""Five random histories, on which the model and every store agree; `make simulate` plays more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ledger_playing import simulate
from stores import binaries, running_server

SEEDS = 5


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(running_server(binary))
            for name, binary in binaries().items()
            if binary is not None
        }


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
async def test_ledgers_agree_on_a_random_history(urls: dict[str, str], seed: int) -> None:
    await simulate(seed, 1, urls, lambda _: None)
