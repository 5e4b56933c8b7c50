"""A whole engine over Sentinel and over a cluster: it grants, follows a failover, loses nothing."""

from __future__ import annotations

import time
from pathlib import Path

import grpc

from deployments import running_cluster, running_sentinels
from engines import Engine, a_question, failure_of, running_engine, wait_until
from server.storage.redis.embedded import find_binary

CREDITS_CALL = "+390612345678"
# Until the sentinels promote the replica, on a busy machine.
FAILOVER_SECONDS = 10.0


def is_granted(engine: Engine, tenant_id: str = "contoso") -> bool:
    try:
        return engine.ask(a_question(CREDITS_CALL, tenant_id=tenant_id)).HasField("grant")
    except grpc.RpcError:
        return False


def test_a_failover_of_sentinel_is_followed_and_answers_are_kept(tmp_path: Path) -> None:
    """C10: the first sentinel of the list is down, and the engine starts all the same."""
    with running_sentinels(find_binary()) as watched:
        url = watched.url.replace("://", "://127.0.0.1:1,")
        with running_engine(tmp_path, redis_url=url) as engine:
            question = a_question(CREDITS_CALL)
            first = engine.ask(question)
            watched.primary.run("WAIT", 1, 1_000)

            watched.primary.kill()
            started = time.monotonic()
            wait_until(lambda: is_granted(engine), FAILOVER_SECONDS)
            took = time.monotonic() - started
            again = engine.ask(question)
            emergency = engine.ask(a_question("911", user_id="frank"))

    assert first.HasField("grant")
    assert again == first
    assert emergency.grant.emergency
    assert took < FAILOVER_SECONDS


def test_a_restart_beside_a_dead_primary_serves_the_tenants_of_the_others(tmp_path: Path) -> None:
    """Of the sample's tenants litware and proseware are the first primary's, contoso another's."""
    with running_cluster(find_binary()) as cluster:
        with running_engine(tmp_path, redis_url=cluster.url) as engine:
            before = is_granted(engine)
        cluster.nodes[0].kill()
        with running_engine(tmp_path, redis_url=cluster.url) as engine:
            after = engine.ask(a_question(CREDITS_CALL))
            lost = failure_of(lambda: engine.balance("litware"))
            health = engine.health("callgate.ledger"), engine.health("callgate.accounts")
            emergency = engine.ask(a_question("911", tenant_id="litware", user_id="nobody"))
            log = engine.log

    assert before
    assert after.HasField("grant")
    assert lost.code is grpc.StatusCode.UNAVAILABLE
    assert health == ("SERVING", "NOT_SERVING")
    assert emergency.grant.emergency
    assert "2 accounts wait to be opened" in log


def test_tenants_of_a_cluster_are_answered_while_a_slot_moves_to_another_node(
    tmp_path: Path,
) -> None:
    with (
        running_cluster(find_binary()) as cluster,
        running_engine(tmp_path, redis_url=cluster.url) as engine,
    ):
        wait_until(engine.has_ledger)
        question = a_question(CREDITS_CALL)
        first = engine.ask(question)
        journals = [key.decode() for node in cluster.nodes for key in node.run("KEYS", "*:journal")]
        before = engine.balance("contoso").reserved.micros
        for journal in journals:
            owner = cluster.owner_of(journal)
            target = next(node for node in cluster.nodes if node is not owner)
            cluster.move_slot_of(journal, target)

        again = engine.ask(question)
        after = engine.balance("contoso").reserved.micros
        entries = {journal: cluster.owner_of(journal).run("XLEN", journal) for journal in journals}

    assert first.HasField("grant")
    assert again == first
    assert after == before > 0
    assert len(journals) > 1
    assert all(entries.values())
