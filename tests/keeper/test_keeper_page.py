"""What Prometheus reads of a keeper."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from server.archive.keeper.figures import Figures, KeeperPage


def test_the_page_tells_lag_fill_lead_and_trouble() -> None:
    figures = Figures(journal_max_entries=1_000, leads=True, partitions_rebuilt=2)
    figures.note_waiting(17, 250, oldest_ms=7_500)
    figures.note_trouble(18, "nothing is archived")
    registry = CollectorRegistry()
    registry.register(KeeperPage(figures, lambda: 9_000))

    page = generate_latest(registry).decode()

    for line in (
        "callgate_drain_lag_seconds 1.5",
        "callgate_journal_fill_ratio 0.25",
        "callgate_keeper_leads 1.0",
        "callgate_archive_up 1.0",
        "callgate_partitions_in_trouble 1.0",
        "callgate_partitions_rebuilt_total 2.0",
    ):
        assert line in page.splitlines()


def test_a_partition_that_was_mended_is_in_trouble_no_more() -> None:
    figures = Figures(journal_max_entries=1_000)

    figures.note_trouble(18, "nothing is archived")
    figures.note_trouble(18, "")

    assert figures.troubles == {}
