"""What entries do to sums, lots, tallies and usage records; and what a lost tail cannot do."""

from __future__ import annotations

from archives import TENANT, TIME_MS, Journal, a_change, a_lot, credits_purse, pool_purse
from policy.facts import Rate
from server.archive import CallState, Entry, LotsTaken
from server.archive.book import AccountRow, Book
from server.archive.fold import fold_entry, settle_lost
from server.archive.images import image_of
from server.archive.usage_records import Origin
from server.ledger.requests import Use


def fold(entries: list[Entry], book: Book | None = None) -> Book:
    book = book or Book()
    for entry in entries:
        fold_entry(book, entry, Origin(17, 1, entry.n, entry.time_ms))
    return book


def account(book: Book) -> AccountRow:
    return book.accounts[TENANT]


def lines(book: Book) -> list[tuple[str, int, int, bool]]:
    return [
        (line["purse"], line["duration_seconds"], line["charge_micros"], line["correction"])
        for line in book.records
    ]


def test_a_call_of_three_slices_is_one_line_when_it_is_settled() -> None:
    journal = Journal()
    book = fold(journal.opened(funded=6_000_000))

    fold([journal.add("reserved", a_change())], book)
    fold([journal.add("extended", a_change((0, 60, 60_000), lots=(("lot-1", 60_000),)))], book)
    assert lines(book) == []
    settled = a_change((0, 75, 120_000), state=CallState.SETTLED, lots=(("lot-1", 60_000),))
    fold([journal.add("settled", settled)], book)

    assert lines(book) == [("credits", 75, 120_000, False)]
    assert account(book).debited_micros == 120_000
    assert book.lots[TENANT, "lot-1"].left_micros == 5_880_000


def test_a_call_paid_by_a_pool_and_then_by_credits_is_two_lines() -> None:
    journal, purses = Journal(), (pool_purse(), credits_purse())
    book = fold(journal.opened(funded=6_000_000))

    change = a_change((0, 45, 0), (1, 30, 60_000), purses=purses, state=CallState.SETTLED)
    fold([journal.add("reserved", a_change(purses=purses)), journal.add("settled", change)], book)

    assert lines(book) == [("pool", 45, 0, False), ("credits", 30, 60_000, False)]
    assert book.tallies == {(TENANT, "pool/2027-01/domestic/plan-1"): 45}


def test_what_is_reported_after_expiry_is_a_further_line_with_the_difference() -> None:
    journal = Journal()
    book = fold(journal.opened(funded=6_000_000))

    fold([journal.add("expired", a_change((0, 60, 60_000), state=CallState.EXPIRED))], book)
    fold([journal.add("settled", a_change((0, 90, 120_000), state=CallState.SETTLED))], book)

    assert lines(book) == [("credits", 60, 60_000, False), ("credits", 30, 60_000, True)]
    assert len({line["usage_id"] for line in book.records}) == 2


def test_a_call_nobody_answered_leaves_no_line() -> None:
    journal = Journal()
    book = fold(journal.opened(funded=6_000_000))

    fold([journal.add("reserved", a_change())], book)
    fold([journal.add("released", a_change(state=CallState.RELEASED))], book)

    assert lines(book) == []


def test_the_connection_fee_is_told_apart_once() -> None:
    journal, rate = Journal(), Rate("rate-1", "USD", 60_000, 7_000, 60, 60)
    purses = (credits_purse(rate),)
    book = fold(journal.opened(funded=6_000_000))

    for seconds, micros in ((60, 67_000), (90, 127_000)):
        change = a_change((0, seconds, micros), purses=purses, state=CallState.EXPIRED)
        fold([journal.add("expired", change)], book)

    assert [line["connection_fee_micros"] for line in book.records] == [7_000, 0]
    assert [line["charge_micros"] for line in book.records] == [67_000, 60_000]


def test_a_store_that_forgot_a_report_takes_nothing_back_and_adds_only_what_is_new() -> None:
    journal = Journal()
    book = fold(journal.opened(funded=6_000_000))
    fold([journal.add("extended", a_change((0, 120, 120_000)))], book)

    fold([journal.add("extended", a_change((0, 60, 60_000)))], book)
    assert account(book).debited_micros == 120_000
    fold([journal.add("extended", a_change((0, 180, 180_000)))], book)

    assert account(book).debited_micros == 180_000


def test_a_call_announced_again_counts_on_from_what_was_debited() -> None:
    journal = Journal()
    book = fold(journal.opened(funded=6_000_000))
    fold([journal.add("extended", a_change((0, 120, 120_000)))], book)
    settle_lost(book, Origin(17, 2, 9, TIME_MS + 9_000))

    announced = a_change(
        (0, 150, 180_000),
        opened_id="decision-2",
        before=(Use(0, 120, 120_000),),
        state=CallState.SETTLED,
    )
    fold([journal.add("reserved", announced)], book)

    assert account(book).debited_micros == 180_000
    assert lines(book) == [("credits", 120, 120_000, False), ("credits", 30, 60_000, True)]


def test_other_purses_that_take_over_count_from_nothing() -> None:
    journal = Journal()
    book = fold(journal.opened(funded=6_000_000))
    fold([journal.add("reserved", a_change((0, 60, 0), purses=(pool_purse(),)))], book)

    paid = a_change((0, 60, 60_000), used_seconds=120, state=CallState.SETTLED)
    fold([journal.add("reserved", paid)], book)

    assert lines(book) == [("pool", 60, 0, False), ("credits", 60, 60_000, False)]


def test_a_lot_told_twice_comes_in_once_and_expires_once() -> None:
    journal = Journal()
    book = fold(journal.opened(funded=5_000))
    expired = LotsTaken((("lot-1", 5_000, False),))

    fold([journal.add("lots_expired", expired), journal.add("lots_expired", expired)], book)
    fold([journal.add("topped_up", a_lot("lot-1", 5_000))], book)

    assert (account(book).funded_micros, account(book).expired_micros) == (5_000, 5_000)
    assert account(book).balance_micros == 0


def test_what_was_overdrawn_is_paid_by_the_next_lot() -> None:
    journal = Journal()
    book = fold(journal.opened(funded=100))
    fold([journal.add("settled", a_change((0, 60, 300), lots=(("lot-1", 100),)))], book)
    assert image_of(book)[0].owed_micros == 200

    fold([journal.add("topped_up", a_lot("lot-2", 1_000))], book)

    assert book.lots[TENANT, "lot-2"].left_micros == 800
    assert image_of(book)[0].available_micros == 800


def test_what_began_without_a_balance_is_invoiced_and_leaves_the_balance_alone() -> None:
    journal = Journal()
    book = fold(journal.opened())
    purses = (credits_purse(),)
    purses = (type(purses[0])("credits", rate=purses[0].rate, post_paid=True),)

    fold([journal.add("settled", a_change((0, 60, 300), purses=purses, unfunded=True))], book)

    assert (account(book).post_paid_micros, account(book).debited_micros) == (300, 300)
    assert account(book).balance_micros == 0
    assert image_of(book)[0].available_micros is None


def test_lots_hold_what_the_sums_say_when_a_lost_store_is_closed() -> None:
    journal = Journal()
    book = fold(journal.opened(funded=500))
    fold([journal.add("topped_up", a_lot("lot-2", 500))], book)
    # Both branches of a store that lost its tail took from the first lot.
    fold([journal.add("extended", a_change((0, 60, 300), lots=(("lot-1", 300),)))], book)
    fold([journal.add("extended", a_change((0, 90, 400), lots=(("lot-1", 200),)))], book)

    settle_lost(book, Origin(17, 2, 9, TIME_MS + 9_000))

    assert [lot.left_micros for lot in book.lots_of(TENANT)] == [100, 500]
    assert lines(book) == [("credits", 90, 400, False)]
