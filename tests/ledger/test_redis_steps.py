"""What a question costs in Redis, and that nothing half done is ever left there."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import server.ledger.requests as limits
from ledgers import (
    ManualClock,
    a_question,
    a_rate,
    an_account,
    ask,
    by_the_second,
    credits_,
    extend,
    pool,
)
from policy.facts import Rate
from policy.rating import affordable_seconds, price_micros
from policy.reasons import Reason
from records import LINES, damage_line
from server.ledger import DirectDebit, LedgerDamaged, LedgerError, Refund, TakeBack, TopUp
from server.ledger.keys import call_key, keys_of, pool_field
from server.ledger.library import SOURCES, library_code
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store, WakeUps
from server.storage.redis.references import call_reference
from stores import SINGLE, empty

MOST_COMMANDS, MOST_AT_ONCE = 7, 6
YEAR_2100_MS = 4_102_444_800_000
CALL = call_key("contoso", call_reference("contoso", "call-1"))
OF_PARTITION = keys_of("contoso")

Verb = Callable[[RedisLedger], Awaitable[object]]
VERBS: dict[str, Verb] = {
    "reserve": lambda ledger: ledger.reserve(ask("call-1", 2, pool(30), credits_(), want=100)),
    "reserve another": lambda ledger: ledger.reserve(ask("call-2", 1, pool(30), credits_())),
    "reserve at once, minutes": lambda ledger: ledger.reserve(
        ask("call-2", 1, pool(9_000), want=100)
    ),
    "reserve at once, credits": lambda ledger: ledger.reserve(ask("call-2", 1, by_the_second())),
    "reserve at once, refused": lambda ledger: ledger.reserve(
        ask("call-2", refusal=Reason.LICENCE_MISSING)
    ),
    "extend": lambda ledger: ledger.extend(extend("call-1", 2, 30)),
    "settle": lambda ledger: ledger.settle(a_question("call-1", 2), 50),
    "release": lambda ledger: ledger.release(a_question("call-1", 2)),
    "top up": lambda ledger: ledger.top_up(TopUp("contoso", "lot-2", 50, YEAR_2100_MS)),
    "void": lambda ledger: ledger.void_lot("contoso", "opening:contoso"),
    "take back": lambda ledger: ledger.take_back(
        TakeBack("contoso", "reversal-1", "opening:contoso", 5)
    ),
    "debit": lambda ledger: ledger.debit(DirectDebit("contoso", "debit-1", 50)),
    "refund": lambda ledger: ledger.refund(Refund("contoso", "refund-1", "opening:contoso", 5)),
    "rule out": lambda ledger: ledger.rule_out("contoso", "debit-2"),
    "freeze": lambda ledger: ledger.freeze("contoso", frozen=True, asked_ms=9),
    "set_credit_limit": lambda ledger: ledger.set_credit_limit("contoso", 25, asked_ms=9),
    "open": lambda ledger: ledger.open_account(an_account(5, digest="facts-2")),
}
DAMAGE = ("", "-0", "x", str(2**53), None)


@pytest.fixture(params=SINGLE)
async def store(request: pytest.FixtureRequest, urls: dict[str, str]) -> AsyncIterator[Store]:
    """An empty store of one server; what is asked here is no matter of a cluster."""
    connected = Store(urls[request.param])
    await empty(connected)
    yield connected
    await connected.close()


async def commands_of(store: Store, verb: Awaitable[object]) -> dict[str, int]:
    """Count the commands that a verb makes the server run, those inside functions too."""
    await store.command("CONFIG", "RESETSTAT")
    await verb
    stats = await store.command("INFO", "commandstats")
    text = stats.decode() if isinstance(stats, bytes) else _as_text(stats)
    found = re.findall(r"cmdstat_([^:]+):calls=(\d+)", text)
    return {name: int(calls) for name, calls in found if not name.startswith("config")}


def _as_text(stats: dict[str, dict[str, Any]]) -> str:
    return "\n".join(f"{name}:calls={values['calls']}" for name, values in stats.items())


@pytest.mark.parametrize(
    ("pool_seconds", "most"),
    [(30, MOST_COMMANDS), (100_000, MOST_AT_ONCE)],
    ids=["both purses pay", "the first pays"],
)
async def test_a_reserve_is_one_step_of_few_commands(
    store: Store, redis_ledger: RedisLedger, pool_seconds: int, most: int
) -> None:
    await redis_ledger.open_account(an_account(10_000_000))
    await redis_ledger.reserve(ask("call-0", 1, pool(pool_seconds), credits_()))
    question = ask("call-1", 1, pool(pool_seconds), credits_(), want=120)

    counted = await commands_of(store, redis_ledger.reserve(question))

    assert counted.pop("fcall") == 1
    assert sum(counted.values()) <= most, counted


async def test_whom_nobody_hears_is_silent_for_a_moment(
    store: Store, redis_ledger: RedisLedger, clock: ManualClock
) -> None:
    await redis_ledger.open_account(an_account(10_000_000))
    clock.pass_seconds(60)

    told = []
    for number, seconds in enumerate((0, 0, 1, -60)):
        clock.pass_seconds(seconds)
        counted = await commands_of(
            store, redis_ledger.reserve(ask(f"call-{number}", 1, by_the_second()))
        )
        told.append(counted.get("spublish", 0))

    assert told == [1, 0, 1, 1]


async def test_who_listens_is_told_of_every_grant(
    store: Store,
    redis_ledger: RedisLedger,
    urls: dict[str, str],
    request: pytest.FixtureRequest,
) -> None:
    await redis_ledger.open_account(an_account(10_000_000))
    heard = asyncio.Event()

    def hear(channel: str) -> None:
        if channel:
            heard.set()

    wake_ups = WakeUps(urls[request.node.callspec.params["store"]])
    wake_ups.hear(OF_PARTITION.journal)
    listening = asyncio.create_task(wake_ups.run(hear))
    async with asyncio.timeout(5):
        while not heard.is_set():
            await store.command("SPUBLISH", OF_PARTITION.journal, "0")
            await asyncio.sleep(0.01)

    told = 0
    for number in range(3):
        question = ask(f"call-{number}", 1, by_the_second())
        told += (await commands_of(store, redis_ledger.reserve(question)))["spublish"]
    listening.cancel()
    await asyncio.wait([listening])

    assert told == 3


@pytest.mark.parametrize(
    "question",
    [
        ask("call-1", 1, credits_(a_rate(10**12))),
        ask("call-1", 2, by_the_second()),
        ask("call-9", 1, by_the_second(), digest="facts-0"),
    ],
    ids=["refused", "replaced", "stale"],
)
async def test_every_question_is_one_fcall(
    store: Store, redis_ledger: RedisLedger, question: Any
) -> None:
    await redis_ledger.open_account(an_account(1_000))

    async def asked() -> None:
        try:
            await redis_ledger.reserve(question)
        except LedgerError:
            return

    counted = await commands_of(store, asked())

    assert counted["fcall"] == 1


async def a_scene(ledger: RedisLedger, store: Store) -> None:
    await store.command("FLUSHALL")
    await ledger.open_account(an_account(1_000_000))
    await ledger.debit(DirectDebit("contoso", "debit-0", 10))
    await ledger.reserve(ask("call-1", 1, pool(60), credits_(), want=100))


async def contents(store: Store) -> dict[bytes, bytes]:
    """Read the whole partition, less the index by expiry."""
    found = {}
    for key in sorted(await store.command("KEYS", "*")):
        if key.decode() != OF_PARTITION.expiry:
            found[key] = await store.command("DUMP", key)
    return found


async def is_wholly_applied_or_unchanged(store: Store, ledger: RedisLedger, verb: Verb) -> bool:
    """Take a step on damaged keys; where it fails, all has to be as before."""
    before = await contents(store)
    try:
        await verb(ledger)
    except LedgerError:
        return await contents(store) == before
    return True


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
@pytest.mark.parametrize(
    "key", [*OF_PARTITION, CALL], ids=["accounts", "expiry", "journal", "call"]
)
async def test_a_key_of_the_wrong_type_leaves_nothing_half_done(
    store: Store, redis_ledger: RedisLedger, verb: Verb, key: str
) -> None:
    await a_scene(redis_ledger, store)
    await store.command("DEL", key)
    await store.command("RPUSH", key, "wrong")

    assert await is_wholly_applied_or_unchanged(store, redis_ledger, verb)


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
async def test_a_damaged_line_of_a_record_leaves_nothing_half_done(
    store: Store, redis_ledger: RedisLedger, verb: Verb
) -> None:
    for name in LINES:
        for damage in DAMAGE:
            await a_scene(redis_ledger, store)
            await damage_line(store, CALL, name, damage)
            whole = await is_wholly_applied_or_unchanged(store, redis_ledger, verb)
            assert whole, (name, damage)


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
async def test_a_damaged_field_leaves_nothing_half_done(
    store: Store, redis_ledger: RedisLedger, verb: Verb
) -> None:
    await a_scene(redis_ledger, store)
    key = OF_PARTITION.accounts
    names = await store.command("HKEYS", key)

    for name in names:
        for damage in DAMAGE:
            await a_scene(redis_ledger, store)
            if damage is None:
                await store.command("HDEL", key, name)
            else:
                await store.command("HSET", key, name, damage)
            whole = await is_wholly_applied_or_unchanged(store, redis_ledger, verb)
            assert whole, (name, damage)


@pytest.mark.parametrize("counter", ["domestic", "other"])
async def test_an_answer_is_repeated_though_a_tally_of_its_plan_was_damaged_since(
    store: Store, redis_ledger: RedisLedger, counter: str
) -> None:
    await redis_ledger.open_account(an_account(1_000_000))
    plenty = pool(36_000, other_size=36_000)
    question = ask("call-1", 1, plenty)
    first = await redis_ledger.reserve(question)

    tally = pool_field("contoso", plenty.period, counter=counter, pool_id=plenty.pool_id)
    await store.command("HSET", OF_PARTITION.accounts, tally, "x")

    assert await redis_ledger.reserve(question) == first
    with pytest.raises(LedgerDamaged):
        await redis_ledger.reserve(ask("call-2", 1, plenty))


@pytest.fixture(scope="module")
def random_rates() -> list[tuple[str, list[int]]]:
    """100,000 random rates, seconds and micros, in parts, and what the policy makes of them."""
    chance = random.Random(20_270_101)
    parts = []
    for _ in range(20):
        cases = [_random_case(chance) for _ in range(5_000)]
        flat = [str(number) for rate, *numbers in cases for number in (*_figures(rate), *numbers)]
        expected = [
            number
            for rate, seconds, micros in cases
            for number in (price_micros(rate, seconds), affordable_seconds(rate, micros, seconds))
        ]
        parts.append((" ".join(flat), expected))
    return parts


async def test_lua_prices_as_the_policy_does(
    store: Store, random_rates: list[tuple[str, list[int]]]
) -> None:
    """The library itself has no door for it: its functions are loaded under another name."""
    code = re.sub(r"^redis\.register_function.*\n", "", library_code(), flags=re.MULTILINE)
    await store.load_library(code.replace("name=callgate_v1", "name=rating_trial") + _RATING_TRIAL)

    for asked, expected in random_rates:
        found = await store.call("rating_trial", ["{p0}:none"], [asked])
        assert [int(text) for text in found.split()] == expected

    await store.command("FUNCTION", "DELETE", "rating_trial")


_RATING_TRIAL = """
-- Price and buy for rows of: micros a minute, first and next increment, seconds, micros.
local function rating_trial(keys, args)
  if not call then bind() end
  local results = {}
  local row = '(%d+) (%d+) (%d+) (%d+) (%d+)'
  for per_minute, first, following, seconds, micros in string.gmatch(args[1], row) do
    local rate = { per_minute = per_minute + 0, first = first + 0, following = following + 0 }
    results[#results + 1] = digits(price_micros(rate, seconds + 0))
    results[#results + 1] = digits(affordable_seconds(rate, micros + 0, seconds + 0))
  end
  return table.concat(results, ' ')
end
redis.register_function('rating_trial', rating_trial)
"""


def _random_case(chance: random.Random) -> tuple[Rate, int, int]:
    per_minute = chance.choice(
        (0, 1, 59, 60, 61, chance.randint(1, 10**6), chance.randint(1, 10**9))
    )
    first, following = (
        chance.choice((1, 6, 30, 60, chance.randint(1, 3_600))),
        chance.randint(1, 120),
    )
    rate = Rate("r", "USD", per_minute, 0, first, following)
    seconds = chance.randint(1, 10_000)
    price = price_micros(rate, seconds)
    micros = chance.choice(
        (0, price, max(0, price - 1), price + 1, chance.randint(0, 2 * price + 1))
    )
    return rate, seconds, micros


def _figures(rate: Rate) -> tuple[int, int, int]:
    return rate.micros_per_minute, rate.first_increment_seconds, rate.next_increment_seconds


def test_both_ledgers_have_the_same_limits() -> None:
    found = dict(re.findall(r"^local ([A-Z_]+) = (\d+)\b", library_code(), re.MULTILINE))
    names = [name for name in found if hasattr(limits, name)]

    assert {"RING_LIMIT_MS", "REFUSAL_LIFETIME_MS", "PLENTY"} <= set(names)
    assert {name: int(found[name]) for name in names} == {
        name: getattr(limits, name) for name in names
    }


def test_the_library_lies_beside_its_caller() -> None:
    folder = Path(limits.__file__).parent / "functions"

    assert {path.stem for path in folder.iterdir()} == set(SOURCES)
    assert all(path.read_text() in library_code() for path in folder.iterdir())


async def test_time_never_runs_back_within_a_partition(
    redis_ledger: RedisLedger, clock: ManualClock
) -> None:
    await redis_ledger.open_account(an_account(1_000))
    first = await redis_ledger.reserve(ask("call-1", 1, by_the_second()))
    clock.pass_seconds(-90)

    second = await redis_ledger.reserve(ask("call-2", 1, by_the_second()))

    assert second.decide_time_ms == first.decide_time_ms
