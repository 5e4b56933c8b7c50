"""What the courier promises: nothing lost, nothing twice, and what it says where it cannot know."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from couriers import BILLING, PostRoom, post_room, sqlite_file, work
from mail_sinks import MailSink, mail_sink, text_of
from server.notices import sender as sender_module
from server.notices.deliveries import Channel
from server.notices.examples import example
from server.notices.history import ListedNotice, list_notices
from server.notices.outbox import NoticeKind
from server.notices.preferences import NoticeSettings
from server.notices.recipients import UNKNOWN_TENANT_MS
from server.notices.rendering import Told
from server.notices.sender import LEASE_MS
from server.notices.smtp import STEP_SECONDS, mail_of
from server.notices.tables import NOTICES
from server.storage.sql.database import SQLITE_FILE, Database

Result = TypeVar("Result")
BOTH = NoticeSettings(recipients=(BILLING, "it@contoso.test"))
ONE = NoticeSettings(recipients=(BILLING,))


async def test_each_recipient_gets_a_mail_of_its_own_once(room: PostRoom, sink: MailSink) -> None:
    await room.settle_on(BOTH)
    await room.happen()
    courier = room.courier()

    for _ in range(3):
        await work(courier)

    assert sorted(mail["To"] for mail in sink.mails) == [BILLING, "it@contoso.test"]
    assert len({mail["Message-ID"] for mail in sink.mails}) == 2
    assert await room.states() == ["sent", "sent"]
    assert courier.figures.sent["mail"] == 2
    assert "contoso" in sink.mails[0]["Subject"]


async def test_mail_that_is_down_for_an_hour_loses_nothing_and_doubles_nothing(
    room: PostRoom, sink: MailSink
) -> None:
    """F12: no mail server for an hour; then each notice arrives, once."""
    await room.settle_on(ONE)
    await sink.stop()
    courier = room.courier()
    for minute in range(0, 60, 5):
        if minute % 20 == 0:
            await room.happen(key=f"crossing-{minute}")
        await work(courier)
        room.clock.pass_seconds(300)
    assert set(await room.states()) == {"waiting"}
    assert sink.mails == []

    await sink.start()
    for _ in range(3):
        await work(courier)
        room.clock.pass_seconds(60)

    assert len(sink.mails) == 3
    assert len({mail["Message-ID"] for mail in sink.mails}) == 3
    assert await room.states() == ["sent"] * 3
    assert sink.connections <= 2


async def test_what_waits_goes_out_as_soon_as_the_server_takes_one(
    room: PostRoom, sink: MailSink
) -> None:
    await room.settle_on(ONE)
    await sink.stop()
    courier = room.courier()
    await room.happen(key="old")
    for _ in range(5):
        await work(courier)
        room.clock.pass_seconds(60)
    await work(courier)
    await sink.start()

    await room.happen(key="new")
    await work(courier)

    assert len(sink.mails) == 2


@pytest.mark.parametrize("answer", ["451 later", "550 nobody", "554 spam"])
async def test_a_server_that_refuses_one_mail_gets_the_others(
    room: PostRoom, sink: MailSink, answer: str
) -> None:
    await room.settle_on(BOTH)
    where = sink.mail_answers if answer == "554 spam" else sink.recipient_answers
    where[BILLING] = answer
    await room.happen()
    courier = room.courier()

    await work(courier)

    assert [mail["To"] for mail in sink.mails] == ["it@contoso.test"]
    expected = "waiting" if answer.startswith("4") else "failed"
    first, _ = await room.rows()
    assert (first["state"], first["trouble"]) == (expected, answer)
    where.clear()
    room.lapse()
    await work(courier)
    assert len(sink.of(BILLING)) == (expected == "waiting")


async def test_a_connection_cut_before_the_answer_is_tried_again_under_the_same_name(
    room: PostRoom, sink: MailSink
) -> None:
    await room.settle_on(ONE)
    await room.happen()
    sink.cut_after = True
    courier = room.courier()
    await work(courier)
    assert await room.states() == ["waiting"]
    sink.cut_after = False

    room.lapse()
    await work(courier)

    # The one case in which a mail may come twice: so that readers can tell, it has one name.
    assert len(sink.mails) == 2
    assert len({mail["Message-ID"] for mail in sink.mails}) == 1
    assert await room.states() == ["sent"]


class Died(BaseException):
    """The process ended here; nothing of it runs on."""


class MortalDatabase(Database):
    """A database whose client dies before, or right after, one of its transactions."""

    def __init__(self, url: str, step: int, *, after: bool) -> None:
        super().__init__(url)
        self.steps = 0
        self._step = step
        self._after = after

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        self.steps += 1
        dies = self.steps == self._step
        if dies and not self._after:
            raise Died
        result = await super().write(work)
        if dies:
            raise Died
        return result


@pytest.mark.parametrize("after", [False, True], ids=["before a commit", "after a commit"])
async def test_a_courier_that_dies_at_any_step_leaves_each_mail_sent_once(
    tmp_path: Path, after: bool
) -> None:
    outcomes = []
    ready = await post_room(sqlite_file(tmp_path))
    await ready.settle_on(ONE)
    await ready.happen()
    await ready.database.close()
    for step in range(1, 100):
        folder = tmp_path / str(step)
        folder.mkdir()
        shutil.copy(tmp_path / SQLITE_FILE, folder)
        died, mails, states = await killed_at(step, folder, after=after)
        assert mails == 1 or (mails == 0 and states == ["uncertain"])
        outcomes.append((mails, states[0]))
        if not died:
            break

    # Only who died between noting that it goes out and sending it leaves that open.
    lost = [outcome for outcome in outcomes if outcome[0] == 0]
    assert len(lost) == (1 if after else 0)
    assert outcomes[-1] == (1, "sent")
    assert len(outcomes) > 5


async def killed_at(step: int, folder: Path, *, after: bool) -> tuple[bool, int, list[str]]:
    """Let a courier die at one step, and another one go on after it."""
    url = sqlite_file(folder)
    async with mail_sink() as sink:
        room = PostRoom(Database(url), sink.port)
        mortal = MortalDatabase(url, step, after=after)
        died = False
        try:
            await work(room.courier(mortal))
        except Died:
            died = True
        room.lapse()
        heir = room.courier()
        await work(heir)
        room.lapse()
        await work(heir)
        states = await room.states()
        await mortal.close()
        await room.database.close()
        return died, len(sink.mails), states


async def test_a_courier_that_is_stopped_finishes_the_mail_that_goes_out(
    room: PostRoom, sink: MailSink
) -> None:
    await room.settle_on(BOTH)
    await room.happen()
    sink.slow_seconds = 0.3
    courier = room.courier()
    await courier.address()
    sending = asyncio.create_task(courier.send_mails())
    async with asyncio.timeout(10):
        await sink.busy.wait()

    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    stopped = sorted(await room.states())
    await work(room.courier())

    assert sending.cancelled()
    assert stopped == ["claimed", "sent"]
    assert await room.states() == ["sent", "sent"]
    assert len(sink.mails) == 2


async def test_a_courier_that_slept_past_its_claim_sends_nothing_when_it_wakes(
    room: PostRoom, sink: MailSink
) -> None:
    await room.settle_on(ONE)
    await room.happen()
    sleeper, other = room.courier(), room.courier()
    await sleeper.address()
    claimed = await sleeper._claim(Channel.MAIL, 10)
    assert claimed is not None
    room.lapse()
    await work(other)

    token, (delivery,) = claimed
    assert sleeper.postman is not None
    async with sleeper.postman.round() as round_:
        await sleeper._send_mail(round_, delivery, token)

    assert len(sink.mails) == 1
    assert await room.states() == ["sent"]


async def test_couriers_side_by_side_share_the_work(room: PostRoom, sink: MailSink) -> None:
    await room.settle_on(BOTH)
    for number in range(6):
        await room.happen(key=f"crossing-{number}")

    await asyncio.gather(*(work(room.courier()) for _ in range(4)))

    assert len(sink.mails) == 12
    assert len({mail["Message-ID"] for mail in sink.mails}) == 12


async def test_without_a_mail_server_mails_fail_and_say_so(room: PostRoom) -> None:
    await room.settle_on(ONE)
    await room.happen()
    courier = room.courier()
    courier.postman = None

    await work(courier)

    (row,) = await room.rows()
    assert (row["state"], row["trouble"]) == ("failed", "no mail server is set: smtp_url")


async def test_a_notice_waits_a_day_for_a_tenant_whose_facts_are_not_known_yet(
    room: PostRoom, sink: MailSink
) -> None:
    await room.happen(key="soon known")
    await room.happen(key="never known", tenant="gone")
    courier = room.courier()
    await work(courier)
    assert await room.rows() == []

    await room.settle_on(ONE)
    await work(courier)
    assert len(sink.mails) == 1
    room.clock.time_ms += UNKNOWN_TENANT_MS
    await work(courier)

    rows = await room.database.read(
        lambda c: {row.tenant_id: row.state for row in c.execute(NOTICES.select())}
    )
    assert rows == {"contoso": "addressed", "gone": "unaddressed"}


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("card_declined", "the card was declined"),
        ("MAX_BALANCE", "the balance would exceed its limit"),
        ("an_own_word_of_the_provider", "an_own_word_of_the_provider"),
    ],
)
async def test_a_recharge_that_failed_is_told_with_its_reason(
    room: PostRoom, sink: MailSink, reason: str, told: str
) -> None:
    """F5, F7: declined, or refused by a limit: the tenant reads why, and when it is tried next."""
    await room.settle_on(ONE)
    facts = {
        "charge_id": "charge-1",
        "currency": "USD",
        "amount_micros": 20_000_000,
        "reason": reason,
        "detail": "",
        "next_try_ms": room.clock.now_ms() + 3_600_000,
    }
    await room.happen(NoticeKind.RECHARGE_FAILED, facts=facts)

    await work(room.courier())

    (mail,) = sink.mails
    assert mail["Subject"] == f"contoso: the recharge failed ({told})"
    assert "20.00 USD" in text_of(mail)
    assert "Next attempt not before: 15 January 2027, 09:00 (UTC)" in text_of(mail)


async def test_the_mail_is_in_the_tenant_s_language_and_time_zone(
    room: PostRoom, sink: MailSink
) -> None:
    await room.settle_on(
        NoticeSettings(recipients=(BILLING,), language="it", time_zone="Europe/Rome")
    )
    facts = {"currency": "EUR", "amount_micros": 1_250_000_000, "reason": "expired_card"}
    await room.happen(NoticeKind.RECHARGE_FAILED, facts=facts)

    await work(room.courier())

    (mail,) = sink.mails
    assert mail["Subject"] == "contoso: ricarica non riuscita (la carta è scaduta)"
    assert "1.250,00 EUR" in text_of(mail)
    assert "15 gennaio 2027, 09:00 (Europe/Rome)" in text_of(mail, "html")
    assert mail["Content-Language"] == "it"


async def test_the_figures_tell_what_waits_and_what_was_sent(
    room: PostRoom, sink: MailSink
) -> None:
    await room.settle_on(BOTH)
    sink.recipient_answers[BILLING] = "450 later"
    await room.happen()
    courier = room.courier()
    await work(courier)
    await courier.count()

    samples = {
        (sample.name, sample.labels.get("channel", "")): sample.value
        for family in courier.figures.families()
        for sample in family.samples
    }

    assert samples["callgate_notices_waiting", "mail"] == 1
    assert samples["callgate_notices_sent_total", "mail"] == 1
    assert samples["callgate_notices_postponed_total", "mail"] == 1
    assert samples["callgate_notices_uncertain", ""] == 0


def test_a_claim_outlasts_the_slowest_mail() -> None:
    steps_after_the_claim = 4
    assert steps_after_the_claim * STEP_SECONDS * 1_000 < LEASE_MS


async def test_what_happened_first_is_told_first(room: PostRoom, sink: MailSink) -> None:
    await room.settle_on(ONE)
    for number in (3, 1, 2):
        room.clock.pass_seconds(1)
        facts = {"currency": "USD", "balance_micros": number * 1_000_000}
        await room.happen(NoticeKind.BALANCE_LOW, key=f"crossing-{number}", facts=facts)

    await work(room.courier())

    told = [mail["Subject"].split("(")[1] for mail in sink.mails]
    assert told == ["3.00 USD)", "1.00 USD)", "2.00 USD)"]


async def test_one_movement_across_several_lines_is_told_in_their_order(
    room: PostRoom, sink: MailSink
) -> None:
    """Low before zero, in mails and in each page of the list; the id of a notice says no order."""
    await room.settle_on(ONE)
    kinds = (
        NoticeKind.BALANCE_ZERO,
        NoticeKind.POOL_100,
        NoticeKind.BALANCE_LOW,
        NoticeKind.POOL_80,
        NoticeKind.CREDITS_EXPIRED,
    )
    for number in range(4):
        for kind in kinds:
            told = example(kind, "contoso", ONE, currency="USD", now_ms=room.clock.now_ms())
            await room.happen(kind, key=f"entry-{number}", facts=told.facts)
        room.clock.pass_seconds(1)
    courier = room.courier()
    wanted = ["credits_expired", "pool_80", "pool_100", "balance_low", "balance_zero"] * 4

    await work(courier)
    listed: list[ListedNotice] = []
    before: tuple[int, str] | None = None
    while page := await room.database.read(
        partial(list_notices, tenant_id="contoso", before=before, limit=3)
    ):
        listed += page
        before = page[-1].time_ms, page[-1].notice_id

    assert [each.kind.value for each in reversed(listed)] == wanted
    mailed = [mail["Message-ID"].strip("<").partition("@")[0] for mail in sink.mails]
    assert [name.partition(".")[0] for name in mailed] == [
        each.notice_id for each in reversed(listed)
    ]


async def test_a_notice_that_breaks_keeps_no_other_one_waiting(
    room: PostRoom, sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.settle_on(BOTH)
    await room.happen()
    write = mail_of

    def breaks(told: Told, **more: Any) -> EmailMessage:
        if told.target == BILLING:
            raise KeyError("a fact of one tenant")
        return write(told, **more)

    monkeypatch.setattr(sender_module, "mail_of", breaks)
    await work(room.courier())

    assert [mail["To"] for mail in sink.mails] == ["it@contoso.test"]
    assert "a fact of one tenant" in (await room.rows())[0]["trouble"]
