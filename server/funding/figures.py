"""What of money in and out is under way, or waits for somebody: for the keeper's page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import Connection, func, select

from server.archive.charge_states import IN_FLIGHT
from server.archive.funding_tables import CHARGES, FUNDING_REQUESTS
from server.archive.requests import RequestState


@dataclass(slots=True)
class MoneyFigures:
    """Plain numbers, as they were counted last."""

    # Charges under way, by state.
    charges: Counter[str] = field(default_factory=Counter)
    # Requests that were accepted and are not in the ledger yet.
    waiting: int = 0
    # Requests and charges that a store had lost, and that were put in again.
    put_in_again: int = 0

    def families(self) -> Iterator[Metric]:
        """Build every family anew."""
        charges = GaugeMetricFamily(
            "callgate_charges",
            "Charges of tenants' means of payment that are under way; unresolved: somebody has to "
            "look.",
            labels=("state",),
        )
        for state in IN_FLIGHT:
            charges.add_metric((state,), self.charges[state])
        yield charges
        yield GaugeMetricFamily(
            "callgate_funding_requests_waiting",
            "Requests for money to move that were accepted and are not done yet.",
            value=self.waiting,
        )
        yield CounterMetricFamily(
            "callgate_money_put_in_again",
            "Requests and charges that a store had lost before they were archived.",
            value=self.put_in_again,
        )


def count_money(connection: Connection) -> tuple[Counter[str], int]:
    """Count charges under way by their state, and requests that wait."""
    charges = select(CHARGES.c.state, func.count()).where(CHARGES.c.state.in_(IN_FLIGHT))
    found = connection.execute(charges.group_by(CHARGES.c.state))
    waiting = select(func.count()).where(
        ~FUNDING_REQUESTS.c.archived, FUNDING_REQUESTS.c.state == RequestState.ACCEPTED.value
    )
    return Counter({row[0]: row[1] for row in found}), connection.scalar(waiting) or 0
