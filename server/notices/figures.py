"""What the courier has done, and what waits: for the keeper's page of metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from server.notices.deliveries import Channel, DeliveryState
from server.notices.outbox import NoticeState

_OPEN = (DeliveryState.WAITING, DeliveryState.CLAIMED, DeliveryState.SENDING)


@dataclass(slots=True)
class NoticeFigures:
    """Plain numbers: what this process sent, and what the archive says of all."""

    sent: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    postponed: Counter[str] = field(default_factory=Counter)
    # By channel and state, as they were counted last.
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def something_waits(self) -> bool:
        """Tell whether anything is to go out, now or later."""
        return any(
            self.counts[channel.value, state.value] for channel in Channel for state in _OPEN
        )

    def families(self) -> Iterator[Metric]:
        """Build every family anew."""
        waiting = GaugeMetricFamily(
            "callgate_notices_waiting",
            "Mails and webhooks that are to go out.",
            labels=("channel",),
        )
        for channel in Channel:
            open_ = sum(self.counts[channel.value, state.value] for state in _OPEN)
            waiting.add_metric((channel.value,), open_)
        yield waiting
        yield GaugeMetricFamily(
            "callgate_notices_new",
            "Notices of which it is not known yet whom to tell.",
            value=self.counts["", NoticeState.NEW.value],
        )
        uncertain = self.counts[Channel.MAIL.value, DeliveryState.UNCERTAIN.value]
        yield GaugeMetricFamily(
            "callgate_notices_uncertain",
            "Mails of which nobody knows whether they went out: their sender died just then.",
            value=uncertain,
        )
        for name, text, counter in (
            ("sent", "Mails and webhooks that the other side took.", self.sent),
            ("failed", "Mails and webhooks that were given up.", self.failed),
            ("postponed", "Attempts that failed and are made again.", self.postponed),
        ):
            family = CounterMetricFamily(f"callgate_notices_{name}", text, labels=("channel",))
            for channel in Channel:
                family.add_metric((channel.value,), counter[channel.value])
            yield family
