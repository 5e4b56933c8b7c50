"""Answers as text: what a tired operator wants to know, the most important thing first."""

from __future__ import annotations

from collections.abc import Iterator

from callgate.command import words
from callgate.command.terminal import style
from callgate.v1.authorization_pb2 import (
    FINAL_ACTION_REDIRECT,
    PURSE_KIND_CREDITS,
    AuthorizeCallRequest,
    AuthorizeCallResponse,
    Check,
    GetEmergencyNumbersResponse,
    Grant,
    Refusal,
)
from callgate.v1.credits_pb2 import GetBalanceResponse

_LABEL_WIDTH = 10
_ARRIVING = frozenset({"service_number_call", "inbound_call"})


def decision_text(question: AuthorizeCallRequest, answer: AuthorizeCallResponse) -> str:
    """Write a grant or a refusal, what it rests on and how to ask about it."""
    granted = answer.HasField("grant")
    lines = [_headline(question, answer)]
    lines += _grant(answer.grant, answer) if granted else _refusal(answer.refusal, answer)
    lines += _notes(question, answer)
    if answer.HasField("explanation"):
        lines += _explanation(answer)
    return "\n".join(lines)


def balance_text(tenant: str, answer: GetBalanceResponse) -> str:
    """Write the money of a tenant."""
    if not answer.HasField("balance"):
        return f"{tenant} has no prepaid balance: it pays afterwards, or was never funded."
    lines = [
        _bold(f"{tenant}: {words.money(answer.available)} available"),
        _line("balance", f"{words.money(answer.balance)}, not yet spent"),
        _line("reserved", f"{words.money(answer.reserved)}, held by running calls"),
        _line("debited", f"{words.money(answer.debited)}, spent so far"),
    ]
    return "\n".join(lines)


def emergency_numbers_text(answer: GetEmergencyNumbersResponse) -> str:
    """Write one line for each country: its numbers, and what is dialled instead of them."""
    lines = []
    for entry in answer.locations:
        masks = [
            f"{dialled} (for {number})" for dialled, number in sorted(entry.dial_masks.items())
        ]
        lines.append(f"{entry.location}  {' '.join([*entry.numbers, *masks])}")
    return "\n".join(lines)


def _headline(question: AuthorizeCallRequest, answer: AuthorizeCallResponse) -> str:
    ends = _ends(question, answer)
    if not answer.HasField("grant"):
        return _refused(f"REFUSED   call {ends}")
    grant = answer.grant
    if grant.emergency:
        return _granted(f"GRANTED   emergency call to {grant.dial_as}")
    return _granted(f"GRANTED   {words.minutes(grant.granted_duration)} {ends}")


def _ends(question: AuthorizeCallRequest, answer: AuthorizeCallResponse) -> str:
    """Say where the call leads, or where it comes from; the answer speaks of the far end."""
    arriving = question.WhichOneof("kind") in _ARRIVING
    dialled = question.calling_number if arriving else question.called_number
    far_end = answer.called_number or dialled or "a withheld number"
    if answer.HasField("destination"):
        far_end = f"{far_end}, {words.place(answer.destination)}"
    if not arriving:
        return f"to {far_end}"
    near_end = question.called_number or question.inbound_call.user_id
    return f"to {near_end} from {far_end}"


def _grant(grant: Grant, answer: AuthorizeCallResponse) -> Iterator[str]:
    if grant.emergency:
        yield _line(
            "route", f"{grant.dial_as}, at once and without an end; not metered, nobody pays"
        )
        return
    if answer.HasField("payer"):
        yield _line("payer", words.payer(answer.payer))
    if grant.HasField("purse"):
        yield _line("pays", _segments(grant))
    if grant.HasField("price"):
        yield _line("price", _price(grant))
    left = _remaining(grant)
    if left:
        yield _line("left", left)
    if grant.HasField("report_by_time"):
        yield _line("report by", words.clock(grant.report_by_time))
    if grant.final:
        yield _line("final", _final(grant))


def _segments(grant: Grant) -> str:
    if len(grant.segments) < 2:  # One stretch needs no times.
        held = grant.segments[0].held if grant.segments else None
        held_text = f", {words.money(held)} held" if held is not None and held.micros else ""
        return words.purse(grant.purse) + held_text
    stretches = []
    for segment in grant.segments:
        stretch = f"{words.purse(segment.purse)} to {words.minutes(segment.end_offset)}"
        if segment.HasField("held"):
            stretch += f" ({words.money(segment.held)} held)"
        stretches.append(stretch)
    return ", then ".join(stretches)


def _price(grant: Grant) -> str:
    price = words.price(grant.price)
    if any(segment.purse.kind == PURSE_KIND_CREDITS for segment in grant.segments):
        return price
    return f"{price} (once credits pay)"


def _remaining(grant: Grant) -> str:
    left = []
    if grant.remaining.HasField("pool_duration"):
        left.append(f"{words.minutes(grant.remaining.pool_duration)} in the pool")
    if grant.remaining.HasField("available"):
        left.append(f"{words.money(grant.remaining.available)} of credits")
    return ", ".join(left)


def _final(grant: Grant) -> str:
    if grant.final_action == FINAL_ACTION_REDIRECT:
        return f"the last grant of this call; then connect the caller to {grant.redirect_to}"
    return "the last grant of this call; then end it"


def _refusal(refusal: Refusal, answer: AuthorizeCallResponse) -> Iterator[str]:
    yield _line("reason", words.reason(refusal.reason))
    if refusal.help_text:
        yield _line("say", refusal.help_text)
    if refusal.HasField("shortfall"):
        yield _line("short of", words.money(refusal.shortfall))
    if answer.HasField("payer"):
        yield _line("payer", f"{words.payer(answer.payer)} would have paid")
    yield _line("signal", f"SIP {refusal.sip_status}, Reason: Q.850;cause={refusal.q850_cause}")


def _notes(question: AuthorizeCallRequest, answer: AuthorizeCallResponse) -> Iterator[str]:
    if answer.origin_assumed:
        yield _line("note", "where the caller is was not known; a setting chose the rate")
    if answer.superseded:
        yield _line("note", "an older question: nothing was changed, this is the call's state now")
    if question.dry_run:
        yield _line("note", "a dry run: nothing was reserved")
    elif not answer.grant.emergency:
        yield _line("call", f"{question.call_id}, sequence {question.sequence}")
    if answer.decision_id:
        yield _line("decision", answer.decision_id)


def _explanation(answer: AuthorizeCallResponse) -> Iterator[str]:
    yield ""
    yield _bold("How it was decided")
    checks = answer.explanation.checks
    width = max((len(check.rule) for check in checks), default=0)
    for check in checks:
        yield from _check(check, width)
    if answer.HasField("refusal"):
        yield ""
        yield _bold("What would turn it into a yes")
        yield f"  {answer.refusal.remedy or 'Nothing.'}"


def _check(check: Check, width: int) -> Iterator[str]:
    outcome = style("ok", fg="green") if check.passed else style("NO", fg="red", bold=True)
    yield f"  {outcome}  {check.rule:<{width}}  {check.finding}"
    if check.inputs:
        inputs = ", ".join(f"{name}={value}" for name, value in sorted(check.inputs.items()))
        yield style(f"      {'':<{width}}  {inputs}", dim=True)


def _line(label: str, text: str) -> str:
    return f"  {label:<{_LABEL_WIDTH}}{text}"


def _granted(text: str) -> str:
    return style(text, fg="green", bold=True)


def _refused(text: str) -> str:
    return style(text, fg="red", bold=True)


def _bold(text: str) -> str:
    return style(text, bold=True)
