"""`callgate advise`: how much to fund, and what that would have done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from callgate.command import words
from callgate.command.charts import Line, bar, lines_svg
from callgate.command.engine import (
    EPILOG,
    address_option,
    connected,
    json_option,
    print_answer,
)
from callgate.command.money import confirm, tenant_option, yes_option
from callgate.command.terminal import echo, style
from callgate.v1 import advice_pb2 as pb
from callgate.v1 import credits_pb2

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LIMITS = {
    pb.ADVICE_LIMIT_MINIMUM: "less than the minimum funding cannot be bought",
    pb.ADVICE_LIMIT_MAX_BALANCE: "the balance may not be more",
    pb.ADVICE_LIMIT_MONTHLY_LIMIT: "the monthly limit is less than a month is expected to cost",
    pb.ADVICE_LIMIT_BURST: "only so many recharges may follow each other",
    pb.ADVICE_LIMIT_LOT_LIFE: "more would not be spent before it expires",
}


@click.command(epilog=EPILOG)
@tenant_option
@click.option("--chart", is_flag=True, help="Draw the lowest balance of each day.")
@click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the lowest balances into a picture, SVG.",
)
@click.option("--apply", "applies", is_flag=True, help="Set auto-recharge as it is advised.")
@yes_option
@json_option
@address_option
def advise(*, tenant: str, as_json: bool, address: str, yes: bool, **given: Any) -> None:
    """Say which trigger and amount to set, when the balance ends, and how it would have gone.

    \u0008
    callgate advise --tenant contoso
    callgate advise --tenant contoso --chart --plot balance.svg
    callgate advise --tenant contoso --apply
    """
    with connected(address) as engine:
        answer: pb.AdviseFundingResponse = engine.ask_advice(
            "AdviseFunding", pb.AdviseFundingRequest(tenant_id=tenant)
        )
        print_answer(
            answer, as_json, lambda: "\n".join(_text(tenant, answer, chart=given["chart"]))
        )
        if given["plot"] is not None:
            _plot(tenant, answer, given["plot"])
        if given["applies"]:
            told = _recharge(answer.advised)
            confirm(f"Set auto-recharge of {tenant}: {told}?", yes)
            engine.ask_advice(
                "ApplyFundingAdvice",
                pb.ApplyFundingAdviceRequest(
                    tenant_id=tenant, advised=answer.advised, etag=answer.etag
                ),
            )
            echo(f"{tenant}: {told}", err=as_json)


def _text(tenant: str, answer: pb.AdviseFundingResponse, *, chart: bool) -> Iterator[str]:
    yield style(f"{tenant}: {_recharge(answer.advised)}", bold=True)
    rows = [("now", _recharge(answer.present)), ("because", _basis(answer))]
    rows += [("but", _LIMITS[limit]) for limit in answer.limits if limit in _LIMITS]
    if answer.basis == pb.ADVICE_BASIS_SPENDING:
        rows += _spending(answer)
    rows.append(("balance", f"{words.money(answer.balance)}{_ends(answer)}"))
    for label, text in rows:
        yield f"  {label:<11}{text}"
    if answer.days:
        yield ""
        yield _tests(answer)
    if answer.days and chart:
        yield ""
        yield _days(answer)


def _recharge(recharge: credits_pb2.AutoRecharge) -> str:
    if not recharge.enabled:
        return "auto-recharge is off"
    told = f"{words.money(recharge.amount)} when the balance is below "
    told += words.money(recharge.trigger)
    if recharge.HasField("monthly_limit"):
        told += f", at most {words.money(recharge.monthly_limit)} a month"
    return told


def _basis(answer: pb.AdviseFundingResponse) -> str:
    if answer.basis == pb.ADVICE_BASIS_SPENDING:
        return f"of {answer.days} days since {answer.first_day}, {answer.time_zone}"
    if answer.basis == pb.ADVICE_BASIS_NOTHING_SPENT:
        return "nothing was spent of credits lately: start small"
    return f"credits were spent for {answer.days} complete days, 28 are needed: start small"


def _spending(answer: pb.AdviseFundingResponse) -> Iterator[tuple[str, str]]:
    most = max(each.micros for each in answer.weekdays)
    for name, spent in zip(_WEEKDAYS, answer.weekdays, strict=True):
        yield name, f"{words.money(spent):>16}  {bar(spent.micros, most)}".rstrip()
    yield "trend", f"{words.money(answer.week_growth)} more each week"
    yield "dearest", f"{words.money(answer.dearest_day_spending)} on {answer.dearest_day}"
    yield "held", f"{words.money(answer.held)} by running calls at the busiest"
    learnt = f"of {answer.arrivals} recharges" if answer.arrivals else "as after a decline"
    yield "arrival", f"{words.minutes(answer.arrival)}, {learnt}; {answer.declined} declined"
    yield "month", f"{words.money(answer.month)} in the next 30 days"


def _ends(answer: pb.AdviseFundingResponse) -> str:
    if not answer.balance_ends_p50:
        return ""
    return f"; ends on {answer.balance_ends_p50}, hardly before {answer.balance_ends_p90}"


def _tests(answer: pb.AdviseFundingResponse) -> str:
    rows = [("these days with", "recharges", "lowest balance", "at zero", "forfeited", "held back")]
    for name, test in (("the advice", answer.advised_test), ("what is set", answer.present_test)):
        rows.append(
            (
                name,
                f"{test.recharges} of {words.money(test.recharged)}",
                words.money(test.lowest),
                words.minutes(test.at_zero),
                words.money(test.forfeited),
                str(test.refused),
            )
        )
    return words.table(rows)


def _days(answer: pb.AdviseFundingResponse) -> str:
    pairs = list(zip(answer.advised_test.days, answer.present_test.days, strict=True))
    most = max(max(one.lowest.micros, other.lowest.micros) for one, other in pairs)
    rows = [("lowest of", "with the advice", "", "with what is set", "")]
    for one, other in pairs:
        rows.append(
            (
                one.day,
                words.money(one.lowest),
                bar(one.lowest.micros, most),
                words.money(other.lowest),
                bar(other.lowest.micros, most),
            )
        )
    return words.table(rows)


def _plot(tenant: str, answer: pb.AdviseFundingResponse, path: Path) -> None:
    if not answer.days:
        raise click.ClickException("There is no complete day to draw.")
    lines = [
        Line(name, [day.lowest.micros for day in test.days])
        for name, test in (("with the advice", answer.advised_test), ("now", answer.present_test))
    ]
    days = [day.day for day in answer.advised_test.days]
    title = f"Lowest balance of {tenant}, {answer.balance.currency_code} day by day"
    try:
        path.write_text(lines_svg(title, days, lines), "utf-8")
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error
