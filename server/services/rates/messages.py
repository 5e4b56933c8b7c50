"""Messages of the RateService: what a child told, and rates as the contract has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from callgate.v1 import rates_pb2 as pb
from callgate.v1.money_pb2 import Money
from policy.destination import Destination
from policy.facts import DatedRate
from server.facts.files.figures import to_milliseconds
from server.facts.files.telling import Problem, Progressed
from server.usage import back_test_process, rates_process
from server.usage.rates_process import (
    Changes,
    Finished,
    Remarks,
    Summary,
    TableText,
    ToldChange,
    ToldRate,
    Understood,
)
from server.usage.working import Cost, ToldSum

_STAGES: Final = {
    name.removeprefix("RATE_STAGE_").lower(): number for name, number in pb.RateStage.items()
}
_KINDS: Final = {
    name.removeprefix("RATE_CHANGE_KIND_").lower(): number
    for name, number in pb.RateChangeKind.items()
}


def listed_rate(prefix: str, leads_to: Destination | None, row: DatedRate) -> pb.ListedRate:
    """Tell a rate and where it leads."""
    listed = pb.ListedRate(
        prefix=prefix.partition("/")[0],
        country=leads_to.country if leads_to is not None else "",
        label=leads_to.label if leads_to is not None else "",
        start_time=_time(row.valid_from_ms),
    )
    if row.rate is not None:
        rate = row.rate
        told = ToldRate(
            rate.micros_per_minute,
            rate.connection_fee_micros,
            f"{rate.first_increment_seconds}/{rate.next_increment_seconds}",
        )
        listed.terms.CopyFrom(_terms(told, rate.currency))
    return listed


def progress(stage: str, done: int, total: int) -> pb.ImportRatesResponse:
    """Tell how far an import is."""
    return pb.ImportRatesResponse(progress=_progress(Progressed(stage, done, total)))


def import_response(message: rates_process.Message) -> pb.ImportRatesResponse:
    """Tell what the importing process told."""
    match message:
        case Progressed():
            return pb.ImportRatesResponse(progress=_progress(message))
        case Problem():
            return pb.ImportRatesResponse(problem=_problem(message))
        case Cost():
            return pb.ImportRatesResponse(cost=_cost(message))
        case Finished(version, new_version, applied, writable):
            result = pb.ImportRatesResult(
                catalogue_version=version,
                new_version=new_version,
                applied=applied,
                writable=writable,
            )
            return pb.ImportRatesResponse(result=result)
        case _:
            return _deck_response(message)


def _deck_response(message: rates_process.Message) -> pb.ImportRatesResponse:
    match message:
        case Understood():
            return pb.ImportRatesResponse(understood=_understood(message))
        case Remarks(remarks):
            told = [pb.DeckRemark(line=each.line, text=each.text) for each in remarks]
            return pb.ImportRatesResponse(remarks=pb.DeckRemarks(remarks=told))
        case Changes(changes):
            changed = pb.RateChanges(changes=[_change(each) for each in changes])
            return pb.ImportRatesResponse(changes=changed)
        case Summary():
            return pb.ImportRatesResponse(summary=_summary(message))
        case TableText(currency, text):
            table = pb.RateTable(currency_code=currency, text=text)
            return pb.ImportRatesResponse(table=table)
        case _:
            raise AssertionError(f"{message!r} is raised, not told")


def back_test_response(message: back_test_process.Message) -> pb.BackTestUsageResponse:
    """Tell what the playing process told."""
    match message:
        case Progressed():
            return pb.BackTestUsageResponse(progress=_progress(message))
        case Problem():
            return pb.BackTestUsageResponse(problem=_problem(message))
        case Cost():
            return pb.BackTestUsageResponse(cost=_cost(message))
        case _:
            raise AssertionError(f"{message!r} is raised, not told")


def _progress(message: Progressed) -> pb.RateProgress:
    told = pb.RateProgress(done_count=message.done, total_count=message.total)
    told.stage = _STAGES[message.stage]
    return told


def _problem(message: Problem) -> pb.DeckProblem:
    return pb.DeckProblem(line=message.line, column=message.field, text=message.text)


def _understood(message: Understood) -> pb.DeckUnderstood:
    return pb.DeckUnderstood(
        columns=[pb.DeckColumn(field=name, title=title) for name, title in message.columns],
        header_line=message.header_line,
        decimal=message.decimal,
        date_order=message.date_order,
        line_count=message.lines,
        more_remark_count=message.more_remarks,
    )


def _summary(message: Summary) -> pb.RateSummary:
    return pb.RateSummary(
        currency_code=message.currency,
        before_count=message.before,
        after_count=message.after,
        unchanged_count=message.unchanged,
        **{f"{kind}_count": count for kind, count in message.counts.items()},
    )


def _change(change: ToldChange) -> pb.RateChange:
    told = pb.RateChange(
        destination=change.destination,
        number_class=change.number_class,
        start_time=_time(to_milliseconds(change.valid_from)),
        line=change.line,
    )
    told.kind = _KINDS[change.kind]
    if change.before is not None:
        told.before.CopyFrom(_terms(change.before, change.currency))
    if change.after is not None:
        told.after.CopyFrom(_terms(change.after, change.currency))
    return told


def _terms(rate: ToldRate, currency: str) -> pb.RateTerms:
    return pb.RateTerms(
        per_minute=Money(micros=rate.per_minute_micros, currency_code=currency),
        connection_fee=Money(micros=rate.connection_fee_micros, currency_code=currency),
        increments=rate.increments,
    )


def _cost(cost: Cost) -> pb.UsageCost:
    return pb.UsageCost(
        from_time=_time(cost.from_ms),
        until_time=_time(cost.until_ms),
        rates_time=_time(cost.rates_at_ms),
        totals=_sums(cost.totals),
        accounts=_sums(cost.accounts),
        countries=_sums(cost.countries),
        refusals=cost.refusals,
        left_out_count=cost.left_out,
    )


def _sums(sums: Sequence[ToldSum]) -> list[pb.UsageSum]:
    return [
        pb.UsageSum(
            tenant_id=each.tenant_id,
            account_id=each.account_id,
            country=each.country,
            call_count=each.calls,
            seconds=each.seconds,
            charged=Money(micros=each.charged_micros, currency_code=each.currency),
            would=Money(micros=each.would_micros, currency_code=each.currency),
            refused_count=each.refused_calls,
            refused=Money(micros=each.refused_micros, currency_code=each.currency),
        )
        for each in sums
    ]


def _time(ms: int) -> Timestamp:
    time = Timestamp()
    time.FromMilliseconds(ms)
    return time
