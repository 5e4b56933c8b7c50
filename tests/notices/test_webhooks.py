"""Signed events to a tenant's webhook, on a real HTTP server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from couriers import MASTER, PostRoom, work
from ledgers import START_MS
from server.notices.deliveries import Channel
from server.notices.preferences import NoticeSettings
from server.notices.rendering import tenant_key
from server.notices.sender import MOST_ATTEMPTS, pause_ms
from server.notices.tables import NOTICE_DELIVERIES
from server.transport.http import SignatureWrong


@dataclass(slots=True)
class Hook:
    """A tenant's own server."""

    answers: list[int] = field(default_factory=list)
    events: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.events.append((headers, await request.read()))
        return web.Response(status=self.answers.pop(0) if self.answers else 204)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    one = Hook()
    application = web.Application()
    application.router.add_post("/hook", one.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield one
    await runner.cleanup()


async def test_an_event_is_signed_with_the_tenant_s_own_key(room: PostRoom, hook: Hook) -> None:
    await room.settle_on(NoticeSettings(webhook_url=hook.url))
    await room.happen()

    await work(room.courier())

    ((headers, body),) = hook.events
    own, other = tenant_key(MASTER, "contoso"), tenant_key(MASTER, "fabrikam")
    event_id = own.verify(headers, body, now_ms=START_MS)
    with pytest.raises(SignatureWrong):
        other.verify(headers, body, now_ms=START_MS)
    event = json.loads(body)
    assert event_id == f"{event['id']}.0"
    assert (event["type"], event["tenant_id"]) == ("balance_zero", "contoso")
    assert event["timestamp"] == "2027-01-15T08:00:00.000Z"
    assert event["data"] == {"currency": "USD", "balance_micros": 0, "post_paid_follows": False}
    assert headers["content-type"] == "application/json"


async def test_an_event_is_tried_again_under_the_same_id_until_it_is_taken(
    room: PostRoom, hook: Hook
) -> None:
    await room.settle_on(NoticeSettings(webhook_url=hook.url))
    await room.happen()
    hook.answers = [500, 302, 429]
    courier = room.courier()

    for _ in range(6):
        await work(courier)
        room.clock.pass_seconds(60)

    assert len(hook.events) == 4
    assert len({headers["webhook-id"] for headers, _ in hook.events}) == 1
    assert len({body for _, body in hook.events}) == 1
    assert await room.states() == ["sent"]


async def test_a_hook_that_is_gone_or_leads_inward_is_given_up(room: PostRoom, hook: Hook) -> None:
    await room.settle_on(NoticeSettings(webhook_url=hook.url))
    await room.settle_on(NoticeSettings(webhook_url="https://10.0.0.1/"), "fabrikam")
    hook.answers = [410]
    await room.happen()
    await room.happen(tenant="fabrikam")

    await work(room.courier())

    troubles = {row["trouble"] for row in await room.rows()}
    assert await room.states() == ["failed", "failed"]
    assert any("410" in trouble for trouble in troubles)
    assert any("private network" in trouble for trouble in troubles)


async def test_a_hook_that_is_down_is_given_up_in_the_end(room: PostRoom) -> None:
    await room.settle_on(NoticeSettings(webhook_url="http://127.0.0.1:1/"))
    await room.happen()
    courier = room.courier()
    await work(courier)
    (row,) = await room.rows()
    assert row["state"] == "waiting"

    room.clock.pass_seconds(10)
    await _pretend_attempts(room, MOST_ATTEMPTS[Channel.WEBHOOK] - 1)
    await work(courier)

    assert await room.states() == ["failed"]


async def _pretend_attempts(room: PostRoom, attempts: int) -> None:
    await room.database.write(
        lambda c: c.execute(NOTICE_DELIVERIES.update().values(attempts=attempts))
    )


def test_pauses_double_up_to_the_longest() -> None:
    pauses = [pause_ms(Channel.WEBHOOK, attempts) for attempts in range(1, 11)]

    assert pauses[:4] == [5_000, 10_000, 20_000, 40_000]
    assert pauses[-1] == 900_000
    assert pause_ms(Channel.MAIL, 4_000) == 60_000
    # About three days of trying.
    spent_ms = sum(pause_ms(Channel.WEBHOOK, n) for n in range(1, MOST_ATTEMPTS[Channel.WEBHOOK]))
    assert 2.9 < spent_ms / 86_400_000 < 3.3
