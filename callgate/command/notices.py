"""`callgate notices`: what a tenant was told, what it would be, and telling it once more."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import click
from google.protobuf.json_format import MessageToJson

from callgate.command import words
from callgate.command.engine import EPILOG, address_option, connected, json_option, print_answer
from callgate.command.terminal import echo, style
from callgate.connection import Connection
from callgate.v1 import notices_pb2 as pb

_PAGE_SIZE = 1_000
_KIND, _STATE = "NOTICE_KIND_", "DELIVERY_STATE_"
KIND_NAMES = tuple(
    name.removeprefix(_KIND).lower().replace("_", "-") for name in pb.NoticeKind.keys()[1:]
)


@click.command(epilog=EPILOG)
@click.option("--tenant", metavar="T", required=True, help="The tenant.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1), default=20, show_default=True, help="How many."
)
@click.option("--preview", type=click.Choice(KIND_NAMES), help="Write a notice as it would be.")
@click.option("--language", type=click.Choice(("en", "it")), help="With --preview: in which one.")
@click.option("--html", is_flag=True, help="With --preview: the mail's HTML alone.")
@click.option("--resend", metavar="ID", help="Send this notice once more.")
@click.option("--webhook-key", is_flag=True, help="Tell the key of the tenant's webhook.")
@json_option
@address_option
def notices(*, as_json: bool, address: str, tenant: str, limit: int, **options: object) -> None:
    """List what a tenant was told, the newest first, and what became of each mail and event.

    \u0008
    callgate notices --tenant contoso
    callgate notices --tenant contoso --preview balance-zero --language it
    """
    chosen = [name for name in ("preview", "resend", "webhook_key") if options[name]]
    if len(chosen) > 1:
        raise click.UsageError("--preview, --resend and --webhook-key go one at a time.")
    with connected(address) as engine:
        match chosen:
            case ["preview"]:
                _preview(engine, tenant, options, as_json=as_json)
            case ["resend"]:
                asked = pb.ResendNoticeRequest(tenant_id=tenant, notice_id=str(options["resend"]))
                answer = engine.resend_notice(asked)
                print_answer(answer, as_json, lambda: _text(answer.notice))
            case ["webhook_key"]:
                key = engine.get_webhook_key(pb.GetWebhookKeyRequest(tenant_id=tenant))
                print_answer(key, as_json, lambda: key.key)
            case _:
                _list(engine, tenant, limit, as_json=as_json)


def _list(engine: Connection, tenant: str, limit: int, *, as_json: bool) -> None:
    found = list(itertools.islice(_notices(engine, tenant, limit), limit))
    for notice in found:
        echo(MessageToJson(notice, indent=None) if as_json else _text(notice))
    if not found and not as_json:
        echo(f"{tenant} was told nothing yet.")


def _preview(engine: Connection, tenant: str, options: dict[str, object], *, as_json: bool) -> None:
    kind = pb.NoticeKind.Value(_KIND + str(options["preview"]).upper().replace("-", "_"))
    language = str(options["language"] or "")
    answer = engine.preview_notice(
        pb.PreviewNoticeRequest(tenant_id=tenant, kind=kind, language=language)
    )
    if options["html"] and not as_json:
        echo(answer.html)
        return
    print_answer(answer, as_json, lambda: _preview_text(answer))


def _preview_text(answer: pb.PreviewNoticeResponse) -> str:
    return (
        f"To:      {', '.join(answer.recipients) or 'nobody'}\n"
        f"Subject: {style(answer.subject, bold=True)}\n\n{answer.text}\n"
        f"Event to {answer.webhook_url or 'nowhere'}:\n{answer.event}"
    )


def _notices(engine: Connection, tenant: str, limit: int) -> Iterator[pb.Notice]:
    question = pb.ListNoticesRequest(tenant_id=tenant, page_size=min(limit, _PAGE_SIZE))
    while True:
        page = engine.list_notices(question)
        yield from page.notices
        if not page.next_page_token:
            return
        question.page_token = page.next_page_token


def _text(notice: pb.Notice) -> str:
    kind = style(_kind(notice.kind), bold=True)
    lines = [f"{words.clock(notice.time)}  {kind}  {notice.notice_id}"]
    lines += map(_delivery, notice.deliveries)
    if not notice.deliveries:
        lines.append("    to nobody yet")
    return "\n".join(lines)


def _delivery(delivery: pb.NoticeDelivery) -> str:
    again = f", round {delivery.round}" if delivery.round else ""
    told = f"    {_state(delivery.state)} to {delivery.target or 'the webhook'}{again}"
    if delivery.HasField("finish_time"):
        told += f" at {words.clock(delivery.finish_time)}"
    if delivery.HasField("next_attempt_time") and delivery.attempts:
        told += f", next attempt {words.clock(delivery.next_attempt_time)}"
    return f"{told}: {delivery.trouble}" if delivery.trouble else told


def _kind(kind: pb.NoticeKind.ValueType) -> str:
    if kind not in pb.NoticeKind.values():
        return f"kind {kind}"
    return pb.NoticeKind.Name(kind).removeprefix(_KIND).lower().replace("_", " ")


def _state(state: pb.DeliveryState.ValueType) -> str:
    if state not in pb.DeliveryState.values():
        return f"state {state}"
    return pb.DeliveryState.Name(state).removeprefix(_STATE).lower()
