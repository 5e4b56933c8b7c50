"""The tailer: what is written comes to each follower once, in order, soon."""

from __future__ import annotations

from ledgers import TENANT, a_question, an_account, ask, extend
from server.journal import Tailer
from server.ledger.redis_ledger import RedisLedger


async def test_a_follower_gets_what_a_call_moves_in_order(
    tailer: Tailer, ledger: RedisLedger
) -> None:
    await ledger.open_account(an_account(6_000_000))
    follower = tailer.follower("reader")
    await follower.join(TENANT)

    await ledger.reserve(ask("call-1", 1))
    await ledger.extend(extend("call-1", 2, 60))
    await ledger.settle(a_question("call-1", 3), 70)

    movements = []
    standing = None
    while len(movements) < 3:
        batch = await follower.next(5)
        assert batch is not None
        movements += batch.movements
        standing = batch.standing
    assert [movement.kind for movement in movements] == ["reserved", "extended", "settled"]
    assert [sum(move.debited_micros for move in one.moves) for one in movements] == [0, 100_000, 100_000]
    assert [sum(move.held_micros for move in one.moves) for one in movements] == [100_000, 0, -100_000]
    balance = await ledger.read_balance(TENANT)
    assert standing is not None
    assert standing.available_micros == balance.available_micros
    assert standing.debited_micros == balance.debited_micros
    follower.leave()
