"""Use that cannot have passed is told to the tenant, once for each call, when that is over."""

from __future__ import annotations

import pytest

from couriers import BILLING, PostRoom, told_of, work
from keepers import House, context_of, drained
from ledgers import a_question, ask, by_the_second, extend
from mail_sinks import MailSink, text_of
from server.ledger.redis_ledger import RedisLedger
from server.notices.preferences import NoticeSettings


async def begun(house: House) -> RedisLedger:
    await house.open()
    ledger = RedisLedger(house.store, house.clock, tolerance_seconds=60)
    purse = by_the_second()
    await ledger.reserve(ask("call-1", 1, purse)._replace(context=context_of(purse)))
    return ledger


@pytest.mark.parametrize(
    ("language", "wanted"),
    [("en", ("Held apart: 16 min", "not charged")), ("it", ("Accantonati: 16 min", "accantonati"))],
)
async def test_a_call_that_is_reported_too_long_is_mailed_once(
    house: House, sink: MailSink, language: str, wanted: tuple[str, str]
) -> None:
    room = PostRoom(house.archive.database, sink.port, house.clock)
    await room.settle_on(NoticeSettings(recipients=(BILLING,), language=language))
    ledger = await begun(house)

    await ledger.extend(extend("call-1", 2, 500))
    await drained(house)
    assert await told_of(house.archive.database) == []
    await ledger.settle(a_question("call-1", 3), 1_000)
    await drained(house)
    await drained(house)
    for _ in range(2):
        await work(room.courier())

    (mail,) = sink.mails
    text = " ".join(text_of(mail).split())
    assert mail["To"] == BILLING
    assert "call-1" in text
    assert "sbc-1" in text
    assert all(each in text for each in wanted)
    ((kind, facts),) = await told_of(house.archive.database)
    assert kind == "implausible_use"
    assert (facts["counted_seconds"], facts["implausible_seconds"]) == (60, 940)


async def test_what_a_later_report_takes_back_is_not_told(house: House) -> None:
    ledger = await begun(house)

    await ledger.extend(extend("call-1", 2, 300))
    await drained(house)
    house.clock.pass_seconds(250)
    await ledger.settle(a_question("call-1", 3), 300)
    await drained(house)

    assert await told_of(house.archive.database) == []


async def test_a_call_that_a_lost_store_ended_is_told_as_well_and_once(house: House) -> None:
    """It was reported too long while it ran; nobody can say less of it any more."""
    ledger = await begun(house)
    await ledger.extend(extend("call-1", 2, 500))
    await drained(house)

    for _ in range(2):
        await house.store.every_node("FLUSHALL")
        await drained(house)

    ((kind, facts),) = await told_of(house.archive.database)
    assert (kind, facts["implausible_seconds"]) == ("implausible_use", 440)
