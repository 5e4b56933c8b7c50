"""Auto-recharge: when it begins, how it ends, and that it cannot run away."""

from __future__ import annotations

import dataclasses

import pytest

from server.funding.auto_recharge import Burst
from server.funding.charge_rows import ChargeState
from server.funding.funding_rows import Candidate
from server.funding.providers import Charge, Charged, Declined, PaymentsUnavailable, Pending, Result
from server.funding.providers.simulated import Rehearsal
from server.ledger import DirectDebit
from server.notices.preferences import NoticeSettings, write_settings
from tills import DAY_MS, HOUR_MS, KEY, TENANT, UNIT, Till, a_top_up

TRIGGER = 10 * UNIT


def taken(till: Till) -> int:
    """How much the provider has taken, in micros."""
    assert isinstance(till.payments, Rehearsal)
    return sum(charge.micros for charge in till.payments.taken.values())


@pytest.mark.parametrize(
    ("balance", "recharges"), [(TRIGGER + 1, 0), (TRIGGER, 0), (TRIGGER - 1, 1)]
)
async def test_a_recharge_begins_strictly_below_the_trigger(
    till: Till, balance: int, recharges: int
) -> None:
    """F3: at the trigger nothing happens, one micro below it one recharge."""
    await till.set_up()

    await till.fund(balance)
    for _ in range(3):
        await till.work()

    assert len(await till.charges()) == recharges
    assert await till.balance() == balance + recharges * 20 * UNIT
    assert taken(till) == recharges * 20 * UNIT


async def test_a_balance_below_the_trigger_at_set_up_is_recharged_once(till: Till) -> None:
    """F8: an account nobody uses, below its trigger from the first moment on."""
    await till.fund(5 * UNIT)

    await till.set_up()
    for _ in range(4):
        await till.work()
        till.house.clock.pass_seconds(60)

    assert await till.balance() == 25 * UNIT
    assert len(await till.charges()) == 1


async def test_an_account_that_was_never_funded_is_recharged_from_nothing(till: Till) -> None:
    """F8: without any balance the first recharge opens one."""
    await till.set_up()

    for _ in range(3):
        await till.work()

    assert await till.balance() == 20 * UNIT
    assert len(await till.charges()) == 1


async def test_many_debits_cross_the_trigger_once(till: Till) -> None:
    """F1: what is announced as a recharge's end is announced once a crossing."""
    await till.set_up()
    await till.fund(11 * UNIT)

    for number in range(10):
        await till.house.ledger.debit(DirectDebit("contoso", f"debit-{number}", UNIT // 4))
    for _ in range(3):
        await till.work()
    (first,) = await till.charges()
    await till.spend(20 * UNIT, "the rest")
    for _ in range(3):
        await till.work()

    charges = await till.charges()
    assert [charge.crossing for charge in charges] == [1, 2]
    assert await till.notices() == [
        ("recharge_succeeded", first.charge_id),
        ("recharge_succeeded", charges[1].charge_id),
    ]


async def test_several_keepers_begin_one_recharge_between_them(till: Till) -> None:
    await till.set_up()
    await till.fund(9 * UNIT)
    others = [dataclasses.replace(till) for _ in range(3)]
    seen = Candidate("contoso", (await till.funding()).version)

    begun = [await each.recharging.consider(seen) for each in [till, *others]]

    assert sum(charge_id is not None for charge_id in begun) == 1


async def test_a_keeper_that_slept_over_a_whole_recharge_begins_no_second_one(till: Till) -> None:
    await till.set_up()
    await till.fund(9 * UNIT)
    seen_before = Candidate("contoso", (await till.funding()).version)
    await till.work()
    await till.spend(25 * UNIT, "below again")

    assert await till.recharging.consider(seen_before) is None


async def test_a_top_up_under_way_counts_as_if_it_were_there(till: Till) -> None:
    await till.set_up()
    await till.fund(9 * UNIT)
    await till.house.archive.database.write(
        lambda c: till.funding_requests._accept(c, a_top_up("t1", 5 * UNIT), "somebody")
    )

    await till.recharging.work()

    assert await till.charges() == []


async def test_a_gap_of_several_amounts_is_closed_in_one_charge(till: Till) -> None:
    await till.fund(1)

    await till.set_up(trigger_micros=70 * UNIT)
    for _ in range(3):
        await till.work()

    (charge,) = await till.charges()
    assert charge.micros == 80 * UNIT
    assert taken(till) == 80 * UNIT


async def test_a_declined_card_is_told_and_left_alone_for_a_while(till: Till) -> None:
    """F5: a notice, no second try within the rest, then another attempt of the same crossing."""
    await till.set_up(payment_customer="declines")
    await till.fund(9 * UNIT)

    await till.work()
    (first,) = await till.charges()
    till.house.clock.pass_seconds(HOUR_MS // 1_000 - 1)
    await till.work()
    within_rest = len(await till.charges())
    till.house.clock.pass_seconds(1)
    await till.work()

    second = (await till.charges())[1]
    assert (first.state, first.reason) == (ChargeState.DECLINED, "card_declined")
    assert within_rest == 1
    assert (second.crossing, second.attempt) == (first.crossing, 2)
    assert (await till.funding()).rest_until_ms == till.house.clock.now_ms() + 2 * HOUR_MS
    assert await till.notices() == [
        ("recharge_failed", first.charge_id),
        ("recharge_failed", second.charge_id),
    ]


async def test_while_a_card_is_declined_calls_go_on_down_to_zero(till: Till) -> None:
    """F5: the service stops at zero, not before."""
    await till.set_up(payment_customer="declines")
    await till.fund(9 * UNIT)
    await till.work()

    await till.spend(9 * UNIT, "all of it")

    assert await till.balance() == 0


async def test_new_settings_end_the_rest_after_a_decline(till: Till) -> None:
    await till.set_up(payment_customer="declines")
    await till.fund(9 * UNIT)
    await till.work()

    await till.set_up(payment_customer="pays", rest_until_ms=0, declines=0)
    await till.work()

    assert await till.balance() == 29 * UNIT


async def test_a_recharge_above_the_largest_balance_is_refused_and_told(till: Till) -> None:
    """F7: refused with an event, once, not silently and not again and again."""
    await till.set_up(max_balance_micros=25 * UNIT)
    await till.fund(9 * UNIT)

    for _ in range(3):
        await till.work()

    (charge,) = await till.charges()
    assert (charge.state, charge.reason) == (ChargeState.REFUSED, "MAX_BALANCE")
    assert await till.notices() == [("recharge_failed", charge.charge_id)]
    assert taken(till) == 0


async def test_a_recharge_of_a_foreign_billing_address_is_refused_with_that_reason(
    till: Till,
) -> None:
    """F11: the region that buys is not that of the billing address."""
    await till.set_up(billing_country="DE")
    await till.fund(9 * UNIT)

    await till.work()

    (charge,) = await till.charges()
    assert (charge.state, charge.reason) == (ChargeState.REFUSED, "REGION_MISMATCH")
    assert await till.balance() == 9 * UNIT


async def test_a_recorded_override_lets_a_foreign_billing_address_pay(till: Till) -> None:
    """F11: an operator may say why it is in order."""
    await till.set_up(billing_country="DE", region_override="contract 4711")
    await till.fund(9 * UNIT)

    await till.work()

    assert await till.balance() == 29 * UNIT


async def test_a_burst_of_recharges_is_stopped_and_goes_on_later(till: Till) -> None:
    till = dataclasses.replace(till, burst=Burst(2, HOUR_MS))
    await till.set_up()
    await till.fund(9 * UNIT)
    for number in range(2):
        await till.work()
        await till.spend(await till.balance(), f"at once {number}")
    for _ in range(3):
        await till.work()
    in_the_hour = taken(till)

    till.house.clock.pass_seconds(HOUR_MS // 1_000 + 1)
    await till.work()

    states = [charge.state for charge in await till.charges()]
    assert in_the_hour == 40 * UNIT
    assert states == ["credited", "credited", "refused", "credited"]


async def test_a_month_is_recharged_up_to_its_limit(till: Till) -> None:
    await till.set_up(monthly_limit_micros=30 * UNIT)
    await till.fund(9 * UNIT)
    await till.work()
    await till.spend(25 * UNIT, "most of it")

    await till.work()
    in_the_month = taken(till)
    till.house.clock.pass_seconds(31 * DAY_MS // 1_000)
    await till.work()

    reasons = [charge.reason for charge in await till.charges()]
    assert in_the_month == 20 * UNIT
    assert reasons == ["", "RECHARGE_LIMIT", ""]


@pytest.mark.parametrize("customer", ["slow", "loses-reply", "twice", "out-of-order"])
async def test_a_difficult_provider_takes_once_and_is_credited_once(
    till: Till, customer: str
) -> None:
    """F9: an answer late, lost, twice or overtaken by events; the money comes in once."""
    await till.set_up(payment_customer=customer)
    await till.fund(9 * UNIT)

    for _ in range(3):
        await till.work()
        till.house.clock.pass_seconds(10)
    assert isinstance(till.payments, Rehearsal)
    for _, body in till.payments.events:
        headers = KEY.sign("again", body, now_ms=till.house.clock.now_ms())
        event = till.payments.read_event(body, headers, till.house.clock.now_ms())
        assert isinstance(event.result, Charged | Declined | Pending)
        await till.charging.told(event.charge_id, event.result)
    await till.work()

    assert taken(till) == 20 * UNIT
    assert await till.balance() == 29 * UNIT


async def test_the_month_of_a_limit_is_that_of_the_tenant_s_zone(till: Till) -> None:
    """On the last day of January at noon in UTC it is February in Auckland."""
    settings = {TENANT: NoticeSettings(time_zone="Pacific/Auckland")}
    await till.house.archive.database.write(lambda c: write_settings(c, settings))
    await till.set_up(monthly_limit_micros=30 * UNIT)
    await till.fund(9 * UNIT)
    await till.work()
    await till.spend(25 * UNIT, "most of it")
    till.house.clock.time_ms = 1_801_396_800_000

    await till.work()

    assert taken(till) == 40 * UNIT


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"recharge_enabled": False}, "RECHARGE_OFF"), ({"closed": True}, "ACCOUNT_CLOSED")],
)
async def test_a_recharge_that_was_decided_and_not_asked_for_ends_when_it_is_switched_off(
    till: Till, change: dict[str, bool], reason: str
) -> None:
    await till.set_up()
    await till.fund(9 * UNIT)
    charge_id = await till.recharging.consider(Candidate(TENANT, (await till.funding()).version))
    await till.set_up(**change)

    for _ in range(2):
        await till.work()

    assert charge_id is not None
    assert [charge.reason for charge in await till.charges()] == [reason]
    assert taken(till) == 0


class AwayPayments(Rehearsal):
    """A provider that cannot be reached, until it is back."""

    away = True
    asked = 0

    async def charge(self, charge: Charge) -> Result:
        self.asked += 1
        if self.away:
            raise PaymentsUnavailable("away")
        return await super().charge(charge)


async def test_a_recharge_that_nobody_answered_is_not_asked_for_while_it_is_switched_off(
    till: Till,
) -> None:
    """The first question may never have arrived: the next one would take the money only then."""
    provider = AwayPayments(KEY)
    till = dataclasses.replace(till, payments=provider)
    await till.set_up()
    await till.fund(9 * UNIT)
    await till.work()
    await till.set_up(recharge_enabled=False)
    provider.away = False

    for _ in range(3):
        till.house.clock.pass_seconds(HOUR_MS // 1_000)
        await till.work()
    while_off = provider.asked, taken(till)
    await till.set_up()
    till.house.clock.pass_seconds(HOUR_MS // 1_000)
    await till.work()

    assert while_off == (1, 0)
    assert taken(till) == 20 * UNIT
    assert await till.balance() == 29 * UNIT
