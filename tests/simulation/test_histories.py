"""Random histories, on which the model and every store agree; `make simulate` plays more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deployments import PATIENT_MS, running_cluster, running_sentinels
from engines import OwnRedis
from ledger_crashes import running_servers
from ledger_playing import play, simulate
from ledgers import TENANT, ManualClock
from server.ledger.keys import keys_of
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis.embedded import find_binary
from unsteady import CutStore, FailingOver, MovingSlot, PatientStore

# In the last one stores are killed.
SEEDS = 5
# Of the first commands of a history.
A_DEATH_AT = 150


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, OwnRedis]]:
    with running_servers() as servers:
        yield servers


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
async def test_ledgers_agree_on_a_random_history(servers: dict[str, OwnRedis], seed: int) -> None:
    await simulate(seed, 1, servers, lambda _: None)


async def test_ledgers_agree_while_a_slot_moves() -> None:
    with running_cluster(find_binary()) as cluster:
        store = PatientStore(cluster.url)
        await RedisLedger(store, ManualClock()).install()
        slot = MovingSlot(cluster, keys_of(TENANT).journal)
        with slot.moving():
            await play(1, {"cluster": store})
        await store.close()

    assert slot.moves > 0


async def test_ledgers_agree_though_a_primary_dies() -> None:
    with running_sentinels(find_binary(), down_after_ms=PATIENT_MS) as watched:
        failing_over = FailingOver(watched)
        store = CutStore(failing_over.url, failing_over.kill, at=A_DEATH_AT)
        await RedisLedger(store, ManualClock()).install()
        await play(1, {"sentinel": store})
        await store.close()

        assert failing_over.is_dead
