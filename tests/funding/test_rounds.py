"""In a round over many accounts one in trouble holds nobody else's money up."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from server.funding.passing import Round
from server.ledger import LedgerDamaged, LedgerUnavailable
from server.ledger.keys import partition_of

TENANTS = [f"tenant-{number}" for number in range(200)]
AWAY = partition_of(TENANTS[0])


def work_through(of_tenant: Mapping[str, Exception]) -> list[str]:
    round_, done = Round(), []
    for tenant_id in round_.among(TENANTS, str):
        with round_.passing_over("a request", tenant_id):
            if tenant_id in of_tenant:
                raise of_tenant[tenant_id]
            done.append(tenant_id)
    return done


@pytest.mark.parametrize("trouble", [LedgerDamaged("about"), LedgerUnavailable("gone")])
def test_an_account_in_trouble_is_passed_over(trouble: Exception) -> None:
    assert work_through({TENANTS[3]: trouble})[-1] == TENANTS[-1]


def test_a_partition_that_is_away_is_asked_once_a_round() -> None:
    of_tenant = {each: LedgerUnavailable("gone") for each in TENANTS if partition_of(each) == AWAY}

    done = work_through(of_tenant)

    assert set(done) == {each for each in TENANTS if partition_of(each) != AWAY}


def test_a_store_that_is_away_ends_the_round() -> None:
    gone = dict.fromkeys(TENANTS, LedgerUnavailable("gone"))

    with pytest.raises(LedgerUnavailable):
        work_through(gone)
