"""What stores and archives hold already is read, and what is written is read as it was meant."""

from __future__ import annotations

import pytest

from ledgers import a_rate, credits_, free, pool
from policy.decision import CreditsPurse, PoolPurse, Purse
from policy.facts import Rate
from policy.reasons import Reason
from server.ledger import LedgerDamaged
from server.ledger.codec import (
    purses_text,
    read_account,
    read_call_text,
    read_lots,
    read_meta,
    read_paid,
    read_purses,
    read_taken,
    tally_fields,
)

POOL = (
    "P\x1f12\x1fpool/2026-11/domestic/contoso/plan/1\x1f600"
    "\x1fpool/2026-11/any/contoso/plan/1\x1f900"
)
CREDITS = "C\x1f60000\x1f5\x1f60\x1f6\x1f250\x1f1\x1f0\x1f14\x1f\x1f"
LIMITED = "C\x1f60000\x1f5\x1f60\x1f6\x1f250\x1f0\x1f0\x1f14\x1f700\x1fspend/2026-11/contoso/ad/ele"


def test_purses_of_a_stored_call_are_read_at_their_places() -> None:
    kept = read_purses("\x1e".join((POOL, f"G\x1f{CREDITS}", LIMITED, "F")))

    minutes, credits_before, limited, _ = kept.purses
    assert kept.gone == {1}
    assert [index for index, _ in kept.paying()] == [0, 2, 3]
    assert isinstance(minutes, PoolPurse)
    assert (minutes.pool_id, minutes.period, minutes.counter) == ("plan/1", "2026-11", "domestic")
    assert [tuple(one) for one in minutes.counters] == [("domestic", 600), ("any", 900)]
    assert isinstance(credits_before, CreditsPurse)
    assert credits_before.rate == Rate("", "", 60_000, 5, 60, 6)
    assert (credits_before.post_paid, credits_before.spend_limit) == (True, None)
    assert isinstance(limited, CreditsPurse)
    assert tally_fields(limited, "contoso") == [("spend/2026-11/contoso/ad/ele", 700)]
    assert read_purses("").purses == ()


@pytest.mark.parametrize(
    "purse",
    [
        free(),
        pool(600),
        pool(500, other_size=7),
        credits_(a_rate(fee=3, first=30, following=6), overdraft=9),
        credits_(limit=350_000, reason=Reason.TOLL_FREE_NEEDS_CREDIT),
        credits_(post_paid=True),
    ],
)
@pytest.mark.parametrize("tenant", ["contoso", "a/b%c"])
def test_a_purse_is_read_as_it_was_written(purse: Purse, tenant: str) -> None:
    text = purses_text((purse,), tenant)

    (read,) = read_purses(text).purses

    assert purses_text((read,), tenant) == text
    assert tally_fields(read, tenant) == tally_fields(purse, tenant)


def test_sums_lots_and_lists_are_read() -> None:
    assert read_meta("2 17 n0nce 1700 0")[:4] == (2, 17, "n0nce", 1_700)
    assert read_account("- 0 5", "1 2 3 4 5 6") == (None, 0, 5, 1, 2, 3, 4, 5, 6)
    assert read_lots("9 8 7 1 opening:contoso\x1e")[0] == (9, 8, 7, True, "opening:contoso")
    assert read_paid("lot-1\x1f60\x1elot-2\x1f4") == [("lot-1", 60), ("lot-2", 4)]
    assert read_taken("lot-1\x1f60\x1fvoided") == [("lot-1", 60, True)]
    assert read_paid("") == []
    assert read_call_text("call-1\x1dF\x1d2|user\x1f|x").context == "2|user\x1f|x"


def test_a_line_that_is_not_whole_is_damage() -> None:
    with pytest.raises(LedgerDamaged):
        read_meta("2 17 n0nce 1700")
