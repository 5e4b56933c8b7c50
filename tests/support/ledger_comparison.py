"""What two ledgers are compared by after each step, and what must hold at every instant."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from policy.decision import CreditsPurse, PoolPurse
from server.ledger import Ledger
from server.ledger.keys import keys_of, partition_keys, pool_field, spend_field
from server.ledger.model.account import Account
from server.ledger.model.call import ModelCall
from server.ledger.model.ledger import MemoryLedger
from server.ledger.redis_ledger import RedisLedger
from server.ledger.store_calls import pairs

SUMS = (
    "available",
    "reserved",
    "post_paid",
    "funded",
    "debited",
    "refunded",
    "expired",
    "voided",
    "owed",
)


def model_state(model: MemoryLedger, tenant: str) -> dict[str, Any]:
    """Describe an account of the model as a store would hold it."""
    account = model._accounts[tenant]
    sums = {name: getattr(account, f"{name}_micros") for name in SUMS}
    tallies = {k: f"{t.done} {t.held}" for k, t in account.tallies.items() if t.done or t.held}
    running = {name: str(count) for name, count in account.running.items() if count}
    lots = [
        f"{lot.expire_ms} {lot.bought_ms} {lot.left_micros} {lot.voided:d} {lot.lot_id}"
        for lot in account.oldest_lots()
    ]
    flags = (account.frozen, account.credit_limit_micros)
    return {"sums": sums, "tallies": tallies | running, "lots": lots, "flags": flags}


async def redis_state(ledger: RedisLedger, tenant: str) -> dict[str, Any]:
    """Read the same out of a store."""
    flat = await ledger._store.command("HGETALL", keys_of(tenant).accounts)
    fields = {name.decode(): value.decode() for name, value in pairs(flat)}
    money = fields[f"money/{tenant}"].split(" ") + fields[f"totals/{tenant}"].split(" ")
    sums = {
        name: None if text == "-" else int(text) for name, text in zip(SUMS, money, strict=True)
    }
    tallies = {
        name: value
        for name, value in fields.items()
        if re.match(f"(pool/.*|spend/.*|running)/{tenant}/", name) and value not in {"0", "0 0"}
    }
    lots = [record for record in fields.get(f"lots/{tenant}", "").split("\x1e") if record]
    _, frozen, _, *limit = fields[f"flags/{tenant}"].split(" ")
    flags = (frozen == "1", int(limit[0]) if limit else 0)
    return {"sums": sums, "tallies": tallies, "lots": lots, "flags": flags}


async def indexed_calls(ledger: RedisLedger, tenant: str) -> set[str]:
    """Read which calls of a tenant the index by expiry names."""
    members = await ledger._store.command("ZRANGE", keys_of(tenant).expiry, 0, -1)
    return {name.decode() for name in members if name.decode().endswith(f":{tenant}")}


def check_invariants(ledger: MemoryLedger) -> None:
    """Assert what must hold of money and minutes after every step."""
    for tenant, account in ledger._accounts.items():
        live = [c for (t, _), c in ledger._calls.items() if t == tenant and c.state == "live"]
        _money_adds_up(account)
        _holds_are_those_of_live_calls(account, live)
        _lots_hold_the_balance(account, live)


def _money_adds_up(account: Account) -> None:
    spent = account.debited_micros - account.refunded_micros
    gone = account.expired_micros + account.voided_micros
    now = (account.available_micros or 0) + account.reserved_micros
    assert account.funded_micros + account.post_paid_micros == now + spent + gone
    assert account.reserved_micros >= 0
    assert account.debited_micros >= 0
    assert account.owed_micros >= 0


def _holds_are_those_of_live_calls(account: Account, live: list[ModelCall]) -> None:
    tenant = account.tenant_id
    held: Counter[str] = Counter()
    reserved = 0
    for call in live:
        assert call.answer is not None
        assert call.answer.expire_time_ms > 0
        for segment in call.segments:
            purse = call.purses[segment.purse_index]
            if isinstance(purse, PoolPurse):
                field = pool_field(
                    tenant, purse.period, counter=purse.counter, pool_id=purse.pool_id
                )
                held[field] += segment.to_second - segment.from_second
            if isinstance(purse, CreditsPurse):
                reserved += segment.held_micros
                limit = purse.spend_limit
                if limit is not None:
                    field = spend_field(tenant, limit.period, limit.account_id)
                    held[field] += segment.held_micros
    assert reserved == account.reserved_micros
    assert +held == Counter({k: t.held for k, t in account.tallies.items() if t.held})
    counted = Counter(call.counted for call in live if call.counted)
    assert +account.running == counted


def _lots_hold_the_balance(account: Account, live: list[ModelCall]) -> None:
    invoiced = sum(
        segment.held_micros
        for call in live
        for segment in call.segments
        if isinstance(purse := call.purses[segment.purse_index], CreditsPurse)
        and purse.post_paid
        and call.unfunded
    )
    in_lots = sum(lot.left_micros for lot in account.lots.values())
    balance = (account.available_micros or 0) + account.reserved_micros - invoiced
    assert in_lots - account.owed_micros == balance


async def journal_kinds(ledger: Ledger, partitions: set[int]) -> list[tuple[str, str]]:
    """Read the kinds and tenants of a store's journals, by partition."""
    assert isinstance(ledger, RedisLedger)
    found = []
    for partition in sorted(partitions):
        for _, fields in await ledger._store.command(
            "XRANGE", partition_keys(partition).journal, "-", "+"
        ):
            entry = dict(pairs(fields))
            tenant = re.search(rb"^tenant=(.*)$", entry[b"body"], re.MULTILINE)
            # Only the entry that begins a journal anew is of no tenant.
            assert tenant or entry[b"kind"] == b"reopened"
            if tenant:
                found.append((entry[b"kind"].decode(), tenant[1].decode()))
    return found
