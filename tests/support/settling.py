"""A process that settles many calls at once: `settling.py URL FIRST COUNT TIME_MS`.

It says "ready" when its calls run, and settles all of them when it is told anything.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from keepers import context_of
from ledgers import ManualClock, a_question, credits_
from server.ledger import Question, ReserveRequest
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store, Timeouts

SECONDS = 60
# All of it at once may take a store of a busy machine longer than an engine waits.
PATIENT = Timeouts(reply_seconds=60.0)


async def settle_many(url: str, first: int, count: int, time_ms: int) -> None:
    """Grant calls one by one, then settle all of them at once."""
    store = Store(url, PATIENT)
    ledger = RedisLedger(store, ManualClock(time_ms))
    calls = [f"rush-{number}" for number in range(first, first + count)]
    purse = credits_()
    for call in calls:
        question = _a_question(call, 1)
        context = context_of(purse)
        answer = await ledger.reserve(
            ReserveRequest(question, (purse,), None, SECONDS, context=context)
        )
        assert answer.granted_seconds == SECONDS, answer
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.gather(*(ledger.settle(_a_question(call, 2), SECONDS) for call in calls))
    await store.close()


def _a_question(call: str, sequence: int) -> Question:
    # Decisions are numbered within a process, and these are several.
    return a_question(call, sequence)._replace(decision_id=secrets.token_hex(10))


if __name__ == "__main__":
    asyncio.run(settle_many(sys.argv[1], *map(int, sys.argv[2:5])))
