"""Money that a provider takes back: it leaves the credits once, whatever comes twice or too late.

The events are as Stripe signs and posts them: amounts in cents, refunds as the total so far.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select

from keepers import drained
from ledgers import a_question, a_rate, credits_
from payment_servers import STRIPE_SECRET, stripe_event
from policy.rating import MAX_WHOLE_NUMBER
from server.funding.charge_rows import ChargeRow, ChargeState, save_charge
from server.funding.provider_events import PaymentEvents
from server.funding.providers import Charged
from server.funding.providers.stripe_payments import StripePayments
from server.storage.sql.audit import AUDIT_TRAIL
from server.transport.http import Posted
from tills import DAY_MS, UNIT, Till

_ids = (f"evt_{number}" for number in itertools.count())


@dataclasses.dataclass(slots=True)
class Shop:
    """A till whose charges were taken by Stripe, and what Stripe posts about them."""

    till: Till
    charge: ChargeRow
    seconds: int = 0

    @property
    def events(self) -> PaymentEvents:
        till = self.till
        return PaymentEvents(
            till.house.archive.database,
            StripePayments("sk_test_1", STRIPE_SECRET),
            till.charging,
            till.reversing,
            till.house.clock.now_ms,
        )

    def refunded(self, cents: int) -> tuple[dict[str, str], bytes]:
        """Build `charge.refunded`: so many cents in all."""
        about = {
            "id": "ch_1",
            "object": "charge",
            "amount": 2_000,
            "amount_refunded": cents,
            "currency": "usd",
            "payment_intent": f"pi_{self.charge.charge_id}",
            "metadata": {"callgate_charge_id": self.charge.charge_id},
        }
        return self.event("charge.refunded", about)

    def disputed(
        self, kind: str, status: str, cents: int = 2_000, name: str = "dp_1"
    ) -> tuple[dict[str, str], bytes]:
        """Build an event about a dispute: it names the intent, and has no metadata of ours."""
        about = {
            "id": name,
            "object": "dispute",
            "amount": cents,
            "currency": "usd",
            "charge": "ch_1",
            "payment_intent": f"pi_{self.charge.charge_id}",
            "status": status,
            "metadata": {},
        }
        return self.event(f"charge.dispute.{kind}", about)

    def event(self, kind: str, about: dict[str, Any]) -> tuple[dict[str, str], bytes]:
        self.seconds += 1
        now_ms = self.till.house.clock.now_ms()
        return stripe_event(
            kind, about, event_id=next(_ids), now_ms=now_ms, created=now_ms // 1_000 + self.seconds
        )

    async def post(self, *events: tuple[dict[str, str], bytes]) -> None:
        for headers, body in events:
            reply = await self.events.take(Posted(headers, body))
            assert reply.status == 200

    async def settle(self) -> None:
        """Let the keeper go on until nothing is left to do."""
        for _ in range(4):
            await drained(self.till.house)
            await self.till.reversing.work()
        await drained(self.till.house)

    async def standing(self) -> tuple[int, int, int]:
        """Tell the balance, what was taken back, and what of that was spent, in whole units."""
        await self.settle()
        (charge,) = await self.till.charges()
        balance = await self.till.balance()
        return balance // UNIT, charge.reversed_micros // UNIT, charge.shortfall_micros // UNIT


@pytest.fixture
async def shop(till: Till) -> Shop:
    """Let 20.00 be charged and credited to an account that has 9.00."""
    await till.set_up()
    await till.fund(9 * UNIT)
    await till.work()
    (charge,) = await till.charges()
    assert charge.state is ChargeState.CREDITED

    def name_it(connection: Any) -> None:
        charge.provider_reference = f"pi_{charge.charge_id}"
        save_charge(connection, charge)

    await till.house.archive.database.write(name_it)
    return Shop(till, charge)


async def test_a_refunded_charge_leaves_the_credits_once(shop: Shop) -> None:
    told = shop.refunded(2_000)

    await shop.post(told, told)

    assert await shop.standing() == (9, 20, 0)
    assert await shop.till.notices() == [
        ("recharge_succeeded", shop.charge.charge_id),
        ("payment_reversed", f"{shop.charge.charge_id}:1:20000000:0"),
    ]
    trail = await shop.till.house.archive.database.read(
        lambda c: list(c.execute(select(AUDIT_TRAIL.c.identity_id, AUDIT_TRAIL.c.action)))
    )
    assert trail == [("payments", "reversal"), ("payments", "Reversal")]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0, 1)])
async def test_partial_refunds_count_by_their_total_in_any_order(
    shop: Shop, order: Sequence[int]
) -> None:
    """Three refunds of 5.00, 3.00 and 2.00: Stripe tells 500, 800 and 1,000 in all."""
    told = [shop.refunded(cents) for cents in (500, 800, 1_000)]

    for which in order:
        await shop.post(told[which])
        await shop.settle()

    assert await shop.standing() == (19, 10, 0)


async def test_what_was_spent_already_is_noted_as_short_and_not_taken_from_others(
    shop: Shop,
) -> None:
    """Of 29.00, 21.00 are spent, the older 9.00 first: of the lot of 20.00, 8.00 are left."""
    await shop.till.spend(21 * UNIT, "debit-1")

    await shop.post(shop.refunded(2_000))

    assert await shop.standing() == (0, 20, 12)


async def test_a_lost_dispute_stays_and_one_that_is_won_gives_the_credits_back(shop: Shop) -> None:
    await shop.till.spend(21 * UNIT, "debit-1")

    await shop.post(shop.disputed("created", "needs_response"))
    opened = await shop.standing()
    await shop.post(shop.disputed("closed", "won"), shop.disputed("funds_reinstated", "won"))
    won = await shop.standing()
    await shop.post(shop.disputed("created", "needs_response", name="dp_2"))
    await shop.post(shop.disputed("closed", "lost", name="dp_2"))
    lost = await shop.standing()

    assert opened == (0, 20, 12)
    assert won == (8, 0, 0)
    assert lost[1:] == (20, 12)
    kinds = [kind for kind, _ in await shop.till.notices()]
    assert kinds.count("payment_restored") == 1


async def test_what_is_taken_back_when_its_lot_is_long_over_is_short_at_once(shop: Shop) -> None:
    """The ledger has forgotten the lot; nothing of it can be there."""
    shop.till.house.clock.pass_seconds(500 * DAY_MS // 1_000)
    await (await drained(shop.till.house)).sweep()

    await shop.post(shop.refunded(2_000))

    assert (await shop.standing())[1:] == (20, 20)


async def test_what_a_won_dispute_gives_back_waits_until_the_account_has_room(shop: Shop) -> None:
    """Nobody else waits with it."""
    await shop.post(shop.disputed("created", "needs_response"))
    await shop.settle()
    left = await shop.till.balance()
    await shop.till.fund(MAX_WHOLE_NUMBER - left, "full")

    await shop.post(shop.disputed("closed", "won"), shop.disputed("funds_reinstated", "won"))
    await shop.settle()
    shop.till.house.clock.pass_seconds(60)
    await shop.till.work()
    full = await shop.till.balance()
    await shop.till.spend(MAX_WHOLE_NUMBER - left, "room")
    shop.till.house.clock.pass_seconds(60)
    await shop.till.work()

    assert full == MAX_WHOLE_NUMBER
    assert await shop.standing() == (29, 0, 0)


async def test_a_dispute_that_is_over_before_it_is_heard_of_changes_nothing(shop: Shop) -> None:
    await shop.post(shop.disputed("closed", "won"), shop.disputed("created", "needs_response"))

    assert await shop.standing() == (29, 0, 0)


async def test_an_inquiry_takes_nothing_until_the_money_is_withdrawn(shop: Shop) -> None:
    await shop.post(shop.disputed("created", "warning_needs_response"))
    asked = await shop.standing()
    await shop.post(shop.disputed("funds_withdrawn", "needs_response"))

    assert asked == (29, 0, 0)
    assert await shop.standing() == (9, 20, 0)


async def test_a_refund_that_fails_brings_the_credits_back(shop: Shop) -> None:
    refund = {
        "id": "re_1",
        "object": "refund",
        "amount": 500,
        "currency": "usd",
        "status": "failed",
        "payment_intent": f"pi_{shop.charge.charge_id}",
        "metadata": {},
    }
    await shop.post(shop.refunded(500))
    refunded = await shop.standing()

    await shop.post(shop.event("refund.failed", refund), shop.event("refund.updated", refund))
    failed = await shop.standing()
    await shop.post(shop.refunded(500))

    assert (refunded, failed) == ((24, 5, 0), (29, 0, 0))
    assert await shop.standing() == (24, 5, 0)


async def test_a_refund_and_a_dispute_take_no_more_than_was_charged(shop: Shop) -> None:
    await shop.post(shop.refunded(500), shop.disputed("created", "needs_response"))

    assert await shop.standing() == (9, 20, 0)


async def test_what_running_calls_hold_goes_when_they_give_it_back(shop: Shop) -> None:
    a_unit_a_second = credits_(a_rate(60 * UNIT, 0, 1, 1))
    await shop.till.house.reserve("call-1", 1, a_unit_a_second, want=12)

    await shop.post(shop.refunded(2_000), shop.disputed("created", "needs_response"))
    held = await shop.standing()
    await shop.till.house.ledger.settle(a_question("call-1", 2), 11)

    balance, taken_back, short = await shop.standing()
    assert held == (12, 20, 0)
    # 9.00 were there of other money, and 11.00 were talked.
    assert (balance - short, taken_back) == (9 - 11, 20)


async def test_a_refund_that_overtakes_the_answer_is_made_good_when_the_money_is_credited(
    till: Till,
) -> None:
    await till.set_up(payment_customer="loses-reply")
    await till.fund(9 * UNIT)
    await till.work()
    (charge,) = await till.charges()
    shop = Shop(till, charge)

    await shop.post(shop.refunded(2_000))
    before = await till.balance()
    await till.charging.told(charge.charge_id, Charged("pi_1", 20 * UNIT, "USD"))
    till.house.clock.pass_seconds(60)
    await till.work()

    assert charge.state is ChargeState.CHARGING
    assert before == 9 * UNIT
    assert await shop.standing() == (9, 20, 0)


async def test_after_a_dispute_nobody_is_charged_again_by_itself(shop: Shop) -> None:
    await shop.post(shop.disputed("created", "needs_response"))
    await shop.settle()
    await shop.till.work()

    assert not (await shop.till.funding()).recharge_enabled
    assert len(await shop.till.charges()) == 1


async def test_events_of_kinds_that_nobody_knows_are_taken_and_change_nothing(shop: Shop) -> None:
    stranger = {"id": "cus_1", "object": "customer"}
    of_others = shop.refunded(2_000)[1].replace(shop.charge.charge_id.encode(), b"somebody-elses")

    await shop.post(shop.event("customer.created", stranger))
    await shop.post(shop.event("charge.refunded", json.loads(of_others)["data"]["object"]))
    await shop.post(shop.event("payment_method.attached", {"id": "pm_1", "metadata": None}))

    assert await shop.standing() == (29, 0, 0)
