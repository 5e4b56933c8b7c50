"""A deck imported: what it would have cost, put in use whole or not at all, written down."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select
from xlsxwriter import Workbook

from server.facts.catalogue import read_catalogue
from server.facts.decks import DeckOptions
from server.facts.files.problems import Problems
from server.facts.files.telling import Invalid, Problem, Stopped
from server.storage.sql.audit import AUDIT_TRAIL
from server.storage.sql.database import Database
from server.usage import rates_process, reading
from server.usage.rates_process import Changes, Finished, Summary, Work
from server.usage.reading import Span
from server.usage.working import Cost
from usage_to_play import instant, to_london, write_usage

NOW_MS = instant("2026-12-01")
NOVEMBER = Span(instant("2026-11-01"), instant("2026-12-01"), NOW_MS)
DECK = b"Code;Rate (USD);Billing;Effective\n44;0,05;60/60;2026-12-01\n447;0,20;30/6;2027-01-01\n"
_DECODER: msgspec.json.Decoder[rates_process.Message] = msgspec.json.Decoder(rates_process.Message)

Run = Callable[..., Any]


@pytest.fixture
async def database(archive_url: str) -> AsyncIterator[Database]:
    database = Database(archive_url)
    yield database
    await database.close()


@pytest.fixture
def run(archive_url: str, folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    async def run(content: bytes, **changes: Any) -> list[Any]:
        work = Work(
            archive_url=archive_url,
            catalogue_folder=str(folder),
            file_name="deck.csv",
            who="olga",
            keep_others=False,
            with_tables=False,
            expected_version="",
            span=NOVEMBER,
            options=DeckOptions(NOW_MS),
        )
        await rates_process.run(msgspec.structs.replace(work, **changes), content)
        return [_DECODER.decode(line) for line in capfdbinary.readouterr().out.splitlines()]

    return run


def _only(told: list[Any], kind: type[Any]) -> Any:
    found = [each for each in told if isinstance(each, kind)]
    assert len(found) == 1, told[-3:]
    return found[0]


def _version(folder: Path) -> str:
    return read_catalogue(folder, Problems()).catalogue.version


@pytest.mark.parametrize("page_rows", [reading.PAGE_ROWS, 3])
async def test_what_the_last_month_would_have_cost_is_what_a_hand_written_sum_says(
    run: Run, database: Database, monkeypatch: pytest.MonkeyPatch, page_rows: int
) -> None:
    monkeypatch.setattr(reading, "PAGE_ROWS", page_rows)
    await database.write(
        lambda connection: write_usage(
            connection,
            # London, 61 s: two minutes at 0.05.
            to_london("2026-11-03", duration_seconds=61),
            # A mobile, 40 s: 30 s and two blocks of 6, at 0.20 a minute.
            to_london("2026-11-04", duration_seconds=40, destination_number="+447400123456"),
            # Minutes of a plan, then 60 s of credits in the same call.
            to_london("2026-11-05", opened_id="c3", purse="pool", charge_micros=0),
            to_london("2026-11-05", opened_id="c3", account_id="adele"),
            # 30 s more were reported later: the second minute is begun.
            to_london("2026-11-06", opened_id="c5", account_id="bob"),
            to_london(
                "2026-11-07",
                opened_id="c5",
                account_id="bob",
                duration_seconds=30,
                correction=True,
            ),
            # Italy is not in the deck.
            to_london("2026-11-08", destination_number="+390612345678", external_country="IT"),
            # Of other months.
            to_london("2026-10-31"),
            to_london("2026-12-01"),
        )
    )

    cost = _only(await run(DECK), Cost)

    mobile = 200_000 * 42 // 60
    would = 2 * 50_000 + mobile + 50_000 + 50_000 + 50_000
    (total,) = cost.totals
    assert (total.calls, total.charged_micros, total.would_micros) == (5, 600_000, would)
    assert (total.refused_calls, total.refused_micros) == (1, 100_000)
    assert cost.refusals == {"DESTINATION_UNRATED": 1}
    assert {each.country: each.would_micros for each in cost.countries} == {"GB": would, "IT": 0}
    assert {each.account_id: each.would_micros for each in cost.accounts} == {
        "adele": would - 100_000,
        "bob": 100_000,
    }
    assert cost.rates_at_ms == instant("2027-01-01")


def _workbook() -> bytes:
    output = io.BytesIO()
    book = Workbook(output, {"in_memory": True})
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, ["Prefix", "USD/min", "Increment", "Effective"])
    sheet.write_row(1, 0, [44, 0.05, "1/1", "01-Feb-2027"])
    sheet.write_row(2, 0, [39, 0.1, "1/1", "01-Feb-2027"])
    book.close()
    return output.getvalue()


async def test_the_last_month_by_decks_of_five_shapes_costs_what_hand_written_sums_say(
    run: Run, database: Database
) -> None:
    rome = {"destination_number": "+390612345678", "external_country": "IT"}
    usage = (
        to_london("2026-11-03", duration_seconds=61),
        to_london("2026-11-04", duration_seconds=61, **rome),
    )
    await database.write(lambda connection: write_usage(connection, *usage))
    named = DeckOptions(NOW_MS, columns={"country": "Ziel", "per_minute": "Kosten"})
    shapes: list[tuple[bytes, dict[str, Any], int]] = [
        # Two minutes at 0.05; 30 s and six blocks of 6 s at 0.10 a minute.
        (
            b"\xef\xbb\xbfDial Code;Rate (USD);Billing\n44;0,05;60/60\n39;0,1;30/6\n",
            {},
            100_000 + 110_000,
        ),
        # Two minutes at 0.03 and a fee of 0.01; two minutes at 0.06.
        (
            b"Country,Country Code,Area Codes,Price,Currency,Setup Fee\n"
            b'United Kingdom,44,"20, 121",0.03,USD,0.01\nItaly,,"02, 06",0.06,$,\n',
            {},
            70_000 + 120_000,
        ),
        (b"Code\tRate\n4420-4429\t0.02 USD\n3901-3909\t$0.04\n", {}, 40_000 + 80_000),
        # By the second: 61/60 of 0.05 and of 0.10, each rounded up to a micro.
        (_workbook(), {}, 50_834 + 101_667),
        (
            b"Ziel|Kosten\nUnited Kingdom|0.2 USD\nItaly|0.1 USD\n",
            {"options": named},
            400_000 + 200_000,
        ),
    ]

    for content, given, would in shapes:
        (total,) = _only(await run(content, **given), Cost).totals
        assert (total.calls, total.would_micros, total.refused_calls) == (2, would, 0)


async def test_looking_changes_nothing_and_putting_in_use_does_what_was_told(
    run: Run, folder: Path, database: Database
) -> None:
    before = (folder / "rates/USD.csv").read_bytes()

    looked = await run(DECK)

    assert (folder / "rates/USD.csv").read_bytes() == before
    told = _only(looked, Finished)
    assert (told.applied, told.writable, told.version) == (False, True, _version(folder))
    summary = _only(looked, Summary)
    assert (summary.after, summary.counts["new"], summary.counts["gone"]) == (
        2 + summary.counts["gone"],
        2,
        summary.before,
    )

    applied = await run(DECK, expected_version=told.version, span=None)

    assert _only(applied, Finished).applied
    assert _version(folder) == told.new_version
    assert (folder / "rates/USD.csv.previous").read_bytes() == before
    (row,) = await database.read(lambda connection: connection.execute(select(AUDIT_TRAIL)).all())
    assert (row.identity_id, row.action, row.resource) == ("olga", "ImportRates", "rates/USD")


async def test_the_same_deck_again_changes_nothing(run: Run, folder: Path) -> None:
    await run(DECK, expected_version=_version(folder), span=None)

    again = await run(DECK, span=None)

    assert not [each for each in again if isinstance(each, Changes)]
    assert _only(again, Summary).unchanged == 2


async def test_a_catalogue_that_changed_since_it_was_looked_at_is_not_written(
    run: Run, folder: Path
) -> None:
    before = (folder / "rates/USD.csv").read_bytes()

    told = await run(DECK, expected_version="sample.000000000000")

    assert _only(told, Stopped).why == "changed"
    assert (folder / "rates/USD.csv").read_bytes() == before


async def test_nothing_of_a_deck_with_one_bad_line_is_put_in_use(run: Run, folder: Path) -> None:
    before = _version(folder)

    told = await run(DECK + b"33;x;60/60;2026-12-01\n", expected_version=before)

    assert _only(told, Problem) == Problem(
        4, "Rate (USD)", "is 'x'; give an amount a minute such as 0,0123"
    )
    assert isinstance(told[-1], Invalid)
    assert _version(folder) == before


async def test_all_currencies_of_a_deck_are_put_in_use_or_none(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _version(folder)
    deck = b"Code,Rate,Currency\n44,0.1,EUR\n44,0.2,USD\n39,1,CHF\n"
    put = rates_process._put
    broken: list[Path] = []

    def breaking(path: Path, content: bytes) -> None:
        if path.name == "USD.csv" and not broken:
            broken.append(path)
            raise PermissionError("of a test")
        put(path, content)

    monkeypatch.setattr(rates_process, "_put", breaking)
    told = await run(deck, expected_version=before, span=None)

    assert _only(told, Stopped).why.startswith("read-only")
    assert _version(folder) == before
    monkeypatch.undo()
    assert _only(await run(deck, expected_version=before, span=None), Finished).applied
    rates = read_catalogue(folder, Problems()).catalogue.rates
    assert set(rates["CHF"]) == {"39"}
