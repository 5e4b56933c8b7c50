"""Funding advice through an engine: what was spent, one audited step, and nobody else's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert

from callgate.command.commands import callgate
from callgate.v1 import access_pb2, credits_pb2
from callgate.v1 import advice_pb2 as pb
from callgate.v1.access_pb2_grpc import AccessServiceStub
from callgate.v1.advice_pb2_grpc import AdviceServiceStub
from callgate.v1.credits_pb2_grpc import CreditServiceStub
from callgate.v1.money_pb2 import Money
from engines import Engine, failure_of, running_engine
from identities import TOKENS, identity
from server.archive.tables import USAGE_RECORDS
from server.storage.sql.database import Database
from server.usage.spending import day_starts
from usage_rows import a_usage

USD = 1_000_000
HOUR_MS = 3_600_000
_PROBES = 200


def bearer(name: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {TOKENS[name]}"),)


@dataclass(frozen=True, slots=True)
class House:
    engine: Engine
    advice: AdviceServiceStub
    credits: CreditServiceStub
    access: AccessServiceStub

    def advise(self, tenant: str = "contoso", who: str = "reader") -> pb.AdviseFundingResponse:
        question = pb.AdviseFundingRequest(tenant_id=tenant)
        return self.advice.AdviseFunding(question, metadata=bearer(who), timeout=10)

    def apply(self, who: str = "administrator", **fields: Any) -> pb.ApplyFundingAdviceResponse:
        question = pb.ApplyFundingAdviceRequest(**{"tenant_id": "contoso", **fields})
        return self.advice.ApplyFundingAdvice(question, metadata=bearer(who), timeout=10)

    def command(self, *arguments: str, who: str = "administrator") -> Result:
        typed = ["advise", "--tenant", "contoso", "--address", self.engine.address, *arguments]
        return CliRunner().invoke(callgate, [*typed, "--token", TOKENS[who]])


def write_usage(engine: Engine, rows: list[dict[str, Any]]) -> None:
    async def write() -> None:
        database = Database(f"sqlite:///{engine.folder}/data/archive.sqlite")
        await database.write(lambda c: c.execute(insert(USAGE_RECORDS), rows))
        await database.close()

    asyncio.run(write())


def steady_days(zone: str) -> list[dict[str, Any]]:
    """48 USD on each of the last 60 days, a quarter at 9, 10, 11 and 12; and some before them.

    At 12 it is eve, who calls in Britain.
    """
    days = day_starts(time.time_ns() // 1_000_000, zone, 61)[:-1]
    at_home = {"account_id": "eve", "destination_number": "+441614960123", "external_country": "GB"}
    return [
        a_usage(day + hour * HOUR_MS + 1, 12 * USD, **(at_home if hour == 12 else {}))
        for day in days
        for hour in range(9, 13)
    ]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("engine")
    path = folder / "identities.toml"
    path.write_text(
        identity("administrator", "tenant-administrator", tenants='["contoso", "fabrikam"]')
        + identity("reader", "reader", tenants='["contoso"]')
        + identity("nobody", "tenant-administrator", tenants='["fabrikam"]')
        + identity("bridge", "bridge", tenants='["contoso"]')
    )
    with (
        running_engine(folder, identities=path, payments="rehearsal", run_keeper=False) as engine,
        grpc.insecure_channel(engine.address) as channel,
    ):
        write_usage(engine, steady_days("UTC"))
        yield House(
            engine,
            AdviceServiceStub(channel),
            CreditServiceStub(channel),
            AccessServiceStub(channel),
        )


def test_advice_rests_on_what_was_spent(house: House) -> None:
    """As `test_a_steady_tenant` calculates; of recharges nothing is known, an hour is assumed."""
    told = house.advise()

    assert (told.basis, told.days) == (pb.ADVICE_BASIS_SPENDING, 60)
    assert [each.micros for each in told.weekdays] == [48 * USD] * 7
    assert (told.advised.trigger.micros, told.advised.amount.micros) == (25 * USD, 340 * USD)
    assert (told.held.micros, told.arrival.seconds) == (1 * USD, 3_600)
    assert (told.month.micros, told.week_growth.micros) == (1_440 * USD, 0)
    assert told.dearest_day_spending.micros == 48 * USD
    assert list(told.limits) == []
    assert told.balance.micros == 50 * USD
    assert told.balance_ends_p50 == told.balance_ends_p90 != ""


def test_the_test_of_the_advice_never_drops_below_zero_where_what_is_set_does(
    house: House,
) -> None:
    told = house.advise()

    advised, present = told.advised_test, told.present_test
    assert advised.lowest.micros > 0
    assert (advised.at_zero.seconds, advised.refused, advised.forfeited.micros) == (0, 0, 0)
    # 60 x 48 = 2,880, by 340 each.
    assert (advised.recharges, advised.recharged.micros) == (9, 9 * 340 * USD)
    assert present.lowest.micros == -2_880 * USD
    assert present.at_zero.seconds > 59 * 86_400
    assert len(advised.days) == len(present.days) == 60


def test_a_tenant_of_which_little_is_known_starts_small(house: House) -> None:
    told = house.advise("fabrikam", "administrator")

    assert (told.basis, told.days) == (pb.ADVICE_BASIS_TOO_FEW_DAYS, 0)
    currency = told.advised.amount.currency_code
    assert (told.advised.amount, told.advised.trigger) == (
        Money(micros=20 * USD, currency_code=currency),
    ) * 2


def test_advice_is_applied_in_one_audited_step_and_not_over_what_has_changed(
    house: House,
) -> None:
    told = house.advise()

    applied = house.apply(advised=told.advised, etag=told.etag)
    again = failure_of(lambda: house.apply(advised=told.advised, etag=told.etag))
    without = failure_of(lambda: house.apply(advised=told.advised))
    by_reader = failure_of(lambda: house.apply("reader", advised=told.advised, etag=told.etag))

    assert applied.funding.auto_recharge.enabled
    assert applied.funding.auto_recharge.trigger.micros == 25 * USD
    assert again.reason == "FUNDING_CHANGED"
    assert without.metadata["field"] == "etag"
    assert by_reader.reason == "ROLE_MISSING"
    question = access_pb2.ListAuditEntriesRequest(tenant_id="contoso")
    trail = house.access.ListAuditEntries(question, metadata=bearer("administrator"), timeout=5)
    assert [entry.action for entry in trail.entries] == ["ApplyFundingAdvice"]
    assert trail.entries[0].after["amount_micros"] == 340 * USD
    assert house.advise().present.amount.micros == 340 * USD


def test_the_command_tells_draws_and_applies(house: House, tmp_path: Path) -> None:
    picture = tmp_path / "balance.svg"

    told = house.command("--chart", "--plot", str(picture))
    asked = house.command("--apply")
    applied = house.command("--apply", "--yes")

    assert told.exit_code == applied.exit_code == 0, told.output + applied.output
    assert "contoso: 340.00 USD when the balance is below 25.00 USD" in told.output
    assert "Mon               48.00 USD  ████" in told.output
    assert "at zero" in told.output
    assert told.output.count("\n") > 75
    assert asked.exit_code == 1
    text = picture.read_text()
    assert text.startswith("<svg ")
    assert text.count("<polyline") == 2


def test_plans_are_advised_by_what_users_spent_in_thirty_days(house: House) -> None:
    """Eve spent 30 x 12 = 360, of a plan for 4; one for 12 costs 8 more and covers all of it."""
    question = pb.AdvisePlansRequest(tenant_id="contoso")
    for licence, units in (("MCOPSTN_PAYG_1", 4), ("MCOPSTN1", 12)):
        price = Money(micros=units * USD, currency_code="USD")
        question.prices.add(licence=licence, month_price=price)

    told = house.advice.AdvisePlans(question, metadata=bearer("reader"), timeout=10)
    question.prices.add().CopyFrom(question.prices[0])
    twice = failure_of(
        lambda: house.advice.AdvisePlans(question, metadata=bearer("reader"), timeout=10)
    )
    typed = ["advise-plans", "--tenant", "contoso", "--address", house.engine.address]
    typed += ["--token", TOKENS["reader"], "--price", "MCOPSTN1=12", "--price", "MCOPSTN_PAYG_1=4"]
    printed = CliRunner().invoke(callgate, typed)

    eve, *others = told.users
    assert (eve.user_id, eve.plan, eve.spent.micros) == ("eve", "MCOPSTN1", 360 * USD)
    assert (eve.covered.micros, eve.saved.micros) == (360 * USD, 352 * USD)
    assert told.saved.micros == 352 * USD
    assert {user.user_id for user in others if user.credits_licence_unused} == {"chiara", "dan"}
    assert twice.metadata["field"] == "prices[2].licence"
    assert printed.exit_code == 0, printed.output
    assert "352.00 USD saved a month in all" in printed.output


def test_nobody_is_advised_on_money_that_is_not_theirs(house: House) -> None:
    told = house.advise()
    theirs = credits_pb2.AutoRecharge()
    theirs.CopyFrom(told.advised)

    for _ in range(_PROBES):
        failed = failure_of(lambda: house.advise("contoso", "nobody"))
        assert (failed.code, failed.reason) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "TENANT_FORBIDDEN",
        )
        failed = failure_of(
            lambda: house.advice.AdvisePlans(
                pb.AdvisePlansRequest(tenant_id="contoso"), metadata=bearer("nobody"), timeout=10
            )
        )
        assert failed.reason == "TENANT_FORBIDDEN"
        failed = failure_of(lambda: house.apply("nobody", advised=theirs, etag=told.etag))
        assert failed.reason == "TENANT_FORBIDDEN"
    assert failure_of(lambda: house.advise("contoso", "bridge")).reason == "ROLE_MISSING"
    own = house.advise("fabrikam", "nobody")
    assert (own.days, own.dearest_day_spending.micros) == (0, 0)
