"""`callgate advise-plans`: for whom a plan is cheaper than credits, and who needs no credits."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import click

from callgate.command import words
from callgate.command.engine import EPILOG, address_option, connected, json_option, print_answer
from callgate.command.money import Amount, money_of, tenant_option
from callgate.connection import Connection
from callgate.v1 import advice_pb2 as pb


class _Price(click.ParamType[tuple[str, Decimal]]):
    """A licence and what it costs, as MCOPSTN1=12.50."""

    name = "price"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Decimal]:
        """Read both."""
        licence, equals, amount = str(value).partition("=")
        if not licence or not equals:
            self.fail(f"{value!r} is no price: give it as MCOPSTN1=12.50", param, ctx)
        return licence, Amount().convert(amount, param, ctx)


@click.command("advise-plans", epilog=EPILOG)
@tenant_option
@click.option(
    "--price",
    "prices",
    metavar="LICENCE=M",
    type=_Price(),
    multiple=True,
    help="What a licence costs in a month; repeat for each plan that users may be given.",
)
@json_option
@address_option
def advise_plans(
    *, tenant: str, prices: Sequence[tuple[str, Decimal]], as_json: bool, address: str
) -> None:
    """Say for whom a plan would have been cheaper in the last 30 days, with the sum.

    Users who hold a credits licence and spent nothing are told as well.

    \u0008
    callgate advise-plans --tenant contoso --price MCOPSTN1=8.00 --price MCOPSTNPP=0
    """
    with connected(address) as engine:
        answer: pb.AdvisePlansResponse = engine.ask_advice(
            "AdvisePlans", _question(engine, tenant, prices)
        )
    print_answer(answer, as_json, lambda: _text(answer))


def _question(
    engine: Connection, tenant: str, prices: Sequence[tuple[str, Decimal]]
) -> pb.AdvisePlansRequest:
    question = pb.AdvisePlansRequest(tenant_id=tenant)
    for licence, price in prices:
        question.prices.add(licence=licence, month_price=money_of(engine, tenant, price))
    return question


def _text(answer: pb.AdvisePlansResponse) -> str:
    if not answer.users:
        return "No user would be cheaper."
    rows = [("user", "spent in 30 days", "better", "covers", "saves a month")]
    rows += [
        (
            user.user_id,
            words.money(user.spent),
            user.plan or "no credits licence",
            words.money(user.covered),
            words.money(user.saved),
        )
        for user in answer.users
    ]
    return f"{words.table(rows)}\n{words.money(answer.saved)} saved a month in all"
