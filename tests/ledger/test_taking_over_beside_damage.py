"""A call id that changes gateways beside damaged records: wholly applied, or nothing is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from ledgers import a_question, an_account, ask, extend
from policy.reasons import Reason
from records import LINES, damage_line
from server.ledger import CallKey, LedgerError
from server.ledger.keys import call_key, keys_of, other_gateway_key
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store
from server.storage.redis.references import call_reference
from stores import SINGLE, empty

OF_PARTITION = keys_of("contoso")
CALL = call_key("contoso", call_reference("contoso", "call-1"))
FIRST, SECOND = (
    other_gateway_key(CallKey("contoso", gateway, "call-1")) for gateway in ("sbc-1", "sbc-2")
)
DAMAGE = ("", "-0", "x", str(2**53), None)

Verb = Callable[[RedisLedger], Awaitable[object]]
# The call of sbc-1 is set aside; the one of sbc-2 is over and has the id.
VERBS: dict[str, Verb] = {
    "take the id": lambda ledger: ledger.reserve(ask("call-1", 9, gateway="sbc-1")),
    "take it for a third": lambda ledger: ledger.reserve(ask("call-1", 1, gateway="sbc-3")),
    "extend aside": lambda ledger: ledger.extend(extend("call-1", 3, 50)),
    "settle aside": lambda ledger: ledger.settle(a_question("call-1", 3), 50),
}


@pytest.fixture(params=SINGLE)
async def store(request: pytest.FixtureRequest, urls: dict[str, str]) -> AsyncIterator[Store]:
    """An empty store of one server; what is asked here is no matter of a cluster."""
    connected = Store(urls[request.param])
    await empty(connected)
    yield connected
    await connected.close()


async def a_scene(ledger: RedisLedger, store: Store) -> None:
    await store.command("FLUSHALL")
    await ledger.open_account(an_account(1_000_000))
    await ledger.reserve(ask("call-1"))
    await ledger.extend(extend("call-1", 2, 30, refusal=Reason.LICENCE_MISSING))
    await ledger.reserve(ask("call-1", 1, gateway="sbc-2"))
    await ledger.release(a_question("call-1", 2, gateway="sbc-2"))


async def contents(store: Store) -> dict[bytes, bytes]:
    """Read the whole partition, less the index by expiry."""
    found = {}
    for key in sorted(await store.command("KEYS", "*")):
        if key.decode() != OF_PARTITION.expiry:
            found[key] = await store.command("DUMP", key)
    return found


async def is_wholly_applied_or_unchanged(store: Store, ledger: RedisLedger, verb: Verb) -> bool:
    before = await contents(store)
    try:
        await verb(ledger)
    except LedgerError:
        return await contents(store) == before
    return True


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
async def test_a_key_of_the_wrong_type_leaves_nothing_half_done(
    store: Store, redis_ledger: RedisLedger, verb: Verb
) -> None:
    for key in (*OF_PARTITION, CALL, FIRST, SECOND):
        await a_scene(redis_ledger, store)
        await store.command("DEL", key)
        await store.command("RPUSH", key, "wrong")

        assert await is_wholly_applied_or_unchanged(store, redis_ledger, verb), key


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
@pytest.mark.parametrize("key", [CALL, FIRST], ids=["call", "aside"])
async def test_a_damaged_field_leaves_nothing_half_done(
    store: Store, redis_ledger: RedisLedger, verb: Verb, key: str
) -> None:
    for name in LINES:
        for damage in DAMAGE:
            await a_scene(redis_ledger, store)
            await damage_line(store, key, name, damage)
            assert await is_wholly_applied_or_unchanged(store, redis_ledger, verb), (name, damage)


async def test_a_call_set_aside_is_kept_until_its_end_is_archived(
    store: Store, redis_ledger: RedisLedger
) -> None:
    await a_scene(redis_ledger, store)

    before = await store.command("PTTL", FIRST)
    await redis_ledger.settle(a_question("call-1", 3), 50)
    after = await store.command("PTTL", FIRST)

    assert (before, after) == (-1, -1)
