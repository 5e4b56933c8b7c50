"""Rates, decks and costs in the words of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from callgate.command.charts import bar
from callgate.command.words import clock, money
from callgate.v1 import rates_pb2 as pb
from callgate.v1.money_pb2 import Money

SHOWN_CHANGES = 20
SHOWN_REMARKS = 10
SHOWN_SUMS = 10
_SIGNS = {
    pb.RATE_CHANGE_KIND_NEW: "+",
    pb.RATE_CHANGE_KIND_GONE: "-",
    pb.RATE_CHANGE_KIND_UP: "^",
    pb.RATE_CHANGE_KIND_DOWN: "v",
    pb.RATE_CHANGE_KIND_TERMS: "~",
    pb.RATE_CHANGE_KIND_DROPPED: "x",
}
_COUNTS = ("new", "gone", "up", "down", "terms", "dropped", "unchanged")


def mistakes_text(name: str, problems: Sequence[pb.DeckProblem]) -> str:
    """Tell each mistake of a file with its line and column."""
    lines = []
    for one in problems:
        where = f"{name}:{one.line}" if one.line else name
        lines.append(f"{where}: {one.column}: {one.text}" if one.column else f"{where}: {one.text}")
    count = len(problems)
    return "\n".join([*lines, f"{count} mistake{'s' if count > 1 else ''}; nothing was changed."])


def rates_text(answer: pb.ListRatesResponse) -> str:
    """List rates, a line each."""
    lines = [_listed(each) for each in answer.rates] or ["There are none."]
    if answer.next_page_token:
        lines.append("... and more; give --limit or --prefix")
    return "\n".join(lines)


def look_up_text(number: str, answer: pb.LookUpRateResponse) -> str:
    """Tell what a number costs."""
    if not answer.country:
        return f"{number} leads nowhere."
    place = f"{number}: {answer.label} ({answer.country}, {answer.number_class})"
    now = _listed(answer.rate) if answer.HasField("rate") else "no rate: DESTINATION_UNRATED"
    coming = [f"  from {clock(each.start_time)}: {_terms(each)}" for each in answer.coming]
    return "\n".join([place, f"  {now}", *coming])


def deck_text(understood: pb.DeckUnderstood, remarks: Sequence[pb.DeckRemark]) -> str:
    """Tell how a deck was understood."""
    columns = ", ".join(f"{each.field}={each.title!r}" for each in understood.columns)
    lines = [f"{understood.line_count:,} lines below line {understood.header_line}: {columns}"]
    lines += [f"  line {each.line}: {each.text}" for each in remarks[:SHOWN_REMARKS]]
    more = len(remarks) + understood.more_remark_count - SHOWN_REMARKS
    if more > 0:
        lines.append(f"  ... and {more:,} more remarks; --json tells them")
    return "\n".join(lines)


def changes_text(changes: Sequence[pb.RateChange], summaries: Sequence[pb.RateSummary]) -> str:
    """Tell what a deck changes, what moves most first."""
    largest = sorted(changes, key=_weight)[:SHOWN_CHANGES]
    lines = [_changed(each) for each in largest]
    if len(changes) > len(largest):
        lines.append(f"... and {len(changes) - len(largest):,} more changes; --json tells them")
    for one in summaries:
        counts = [f"{getattr(one, f'{name}_count'):,} {name}" for name in _COUNTS]
        size = f"{one.before_count:,} destinations before, {one.after_count:,} after"
        lines.append(f"{one.currency_code}: {', '.join(counts)}; {size}")
    return "\n".join(lines)


def cost_text(cost: pb.UsageCost) -> str:
    """Tell what a period would have cost, by country and by account as well."""
    span = f"Usage from {clock(cost.from_time)} until {clock(cost.until_time)}"
    lines = [f"{span}, by the rates of {clock(cost.rates_time)}:"]
    lines += [f"  {one.call_count:,} calls: {_sum(one)}" for one in cost.totals]
    if not cost.totals:
        lines.append("  nothing was used")
    lines += list(_table("by country", cost.countries))
    lines += list(_table("by account", cost.accounts))
    if cost.refusals:
        refused = ", ".join(f"{name} {count:,}" for name, count in sorted(cost.refusals.items()))
        lines.append(f"  would have been refused: {refused}")
    if cost.left_out_count:
        lines.append(f"  {cost.left_out_count:,} calls of tenants that are not known were left out")
    return "\n".join(lines)


def _table(title: str, sums: Sequence[pb.UsageSum]) -> Iterator[str]:
    changed = [each for each in sums if each.would.micros != each.charged.micros][:SHOWN_SUMS]
    if not changed:
        return
    most = max(abs(each.would.micros - each.charged.micros) for each in changed)
    yield f"  {title}:"
    width = max(len(_name(each)) for each in changed)
    for each in changed:
        difference = each.would.micros - each.charged.micros
        yield f"    {_name(each):{width}}  {_sum(each)}  {bar(abs(difference), most)}"


def _name(one: pb.UsageSum) -> str:
    return one.country or "/".join(part for part in (one.tenant_id, one.account_id) if part) or "-"


def _sum(one: pb.UsageSum) -> str:
    difference = Money(
        micros=one.would.micros - one.charged.micros, currency_code=one.would.currency_code
    )
    sign = "+" if difference.micros > 0 else ""
    refused = f", {one.refused_count:,} refused" if one.refused_count else ""
    return f"{money(one.charged)} -> {money(one.would)} ({sign}{money(difference)}{refused})"


def _weight(change: pb.RateChange) -> tuple[Decimal, str]:
    """Put what moves most first; what is new or gone comes before."""
    if not (change.HasField("before") and change.HasField("after")):
        return Decimal(-1_000), change.destination
    return -abs(_share(change)), change.destination


def _share(change: pb.RateChange) -> Decimal:
    before, after = change.before.per_minute.micros, change.after.per_minute.micros
    return Decimal(after - before) * 100 / before if before else Decimal(0)


def _changed(change: pb.RateChange) -> str:
    before = _price(change.before) if change.HasField("before") else "none"
    after = _price(change.after) if change.HasField("after") else "none"
    share = ""
    if change.kind in {pb.RATE_CHANGE_KIND_UP, pb.RATE_CHANGE_KIND_DOWN}:
        share = f" ({_share(change):+.1f} %)" if change.before.per_minute.micros else ""
    name = " ".join(part for part in (change.destination, change.number_class) if part)
    line = f", line {change.line}" if change.line else ""
    start = clock(change.start_time)
    return f"{_SIGNS[change.kind]} {name}  {before} -> {after}{share}, from {start}{line}"


def _listed(each: pb.ListedRate) -> str:
    leads_to = f"{each.label} ({each.country})" if each.country else "leads nowhere"
    return f"{each.prefix:15}  {_terms(each)}  from {clock(each.start_time)}  {leads_to}"


def _terms(each: pb.ListedRate) -> str:
    return _price(each.terms) if each.HasField("terms") else "ends"


def _price(terms: pb.RateTerms) -> str:
    fee = f" + {money(terms.connection_fee)}" if terms.connection_fee.micros else ""
    return f"{money(terms.per_minute)}{fee} {terms.increments}"
