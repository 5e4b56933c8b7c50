"""Carriers' decks in five shapes: read, compared with the rates there are, every bad line named."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from xlsxwriter import Workbook

from policy.facts import Catalogue
from server.facts.catalogue import read_catalogue
from server.facts.decks import (
    ChangeKind,
    Deck,
    DeckFile,
    DeckOptions,
    Places,
    merge_deck,
    read_deck,
)
from server.facts.decks.deck import DeckRate
from server.facts.decks.values import covering, read_prefixes
from server.facts.files.problems import InvalidFacts, Problems

SAMPLE = Path(__file__).parents[2] / "data" / "catalogue"
NOW_MS = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp()) * 1000
COUNTRIES = {"GB": "United Kingdom", "IT": "Italy", "US": "United States", "FR": "France"}
PATH = Path("deck.csv")


@pytest.fixture(scope="module", name="catalogue")
def fixture_catalogue() -> Catalogue:
    problems = Problems()
    files = read_catalogue(SAMPLE, problems)
    problems.raise_if_any()
    return files.catalogue


def _read(catalogue: Catalogue, content: bytes | str, **given: object) -> tuple[Deck, list[str]]:
    problems = Problems()
    options = DeckOptions(NOW_MS, **given)  # type: ignore[arg-type] # Whichever a test gives.
    raw = content.encode() if isinstance(content, str) else content
    places = Places(catalogue, COUNTRIES)
    deck = read_deck(DeckFile(PATH, raw, options), places, problems)
    try:
        problems.raise_if_any()
    except InvalidFacts as error:
        return deck, str(error).split("\n")
    return deck, []


def _prices(deck: Deck, currency: str) -> dict[str, tuple[int | None, int, str, str]]:
    return {
        f"{destination}{number_class and '/'}{number_class}": (
            rates[0].per_minute_micros,
            rates[0].connection_fee_micros,
            rates[0].increments,
            rates[0].valid_from,
        )
        for (destination, number_class), rates in deck.rates[currency].items()
    }


def test_a_deck_of_prefixes_with_semicolons_comma_decimals_and_a_mark(catalogue: Catalogue) -> None:
    text = (
        "\ufeffAcme Telecom;;;;\r\n"
        "Preisliste;;;;\r\n"
        "Destination;Dial Code;Rate (EUR);Billing Increment;Effective Date\r\n"
        "Italy;39;0,0123;60/60;01.12.2026\r\n"
        "Italy Mobile;393;1.234,5;30/6;15.01.2027\r\n"
    )

    deck, mistakes = _read(catalogue, text)

    assert mistakes == []
    assert _prices(deck, "EUR") == {
        "39": (12_300, 0, "60/60", "2026-12-01"),
        "393": (1_234_500_000, 0, "30/6", "2027-01-15"),
    }
    assert deck.columns[:3] == [
        ("name", "Destination"),
        ("prefix", "Dial Code"),
        ("per_minute", "Rate (EUR)"),
    ]


def test_a_deck_of_countries_with_area_codes_in_one_cell(catalogue: Catalogue) -> None:
    text = (
        "Country,Country Code,Area Codes,Price,Currency,Min Duration,Interval,Setup Fee\n"
        'United Kingdom,44,"20, 121;131",$0.01,,1,1,0.001\n'
        'Italy,,"02, 06",0.02,EUR,60,30,\n'
        "France,33,,0.03,USD,,,\n"
    )

    deck, mistakes = _read(catalogue, text)

    assert mistakes == []
    assert _prices(deck, "USD") == {
        **dict.fromkeys(("4420", "44121", "44131"), (10_000, 1_000, "1/1", "2026-12-01T00:00:00Z")),
        "33": (30_000, 0, "60/60", "2026-12-01T00:00:00Z"),
    }
    assert set(_prices(deck, "EUR")) == {"3902", "3906"}
    assert deck.rates["EUR"]["3902", ""][0].increments == "60/30"


def test_a_countrys_code_may_be_that_of_two_letters(catalogue: Catalogue) -> None:
    deck, mistakes = _read(catalogue, "Country Code,Area Codes,Rate USD\nGB,20,0.1\nFR,,0.2\n")

    assert mistakes == []
    assert set(_prices(deck, "USD")) == {"4420", "FR"}


def test_a_deck_of_ranges_prices_the_fewest_prefixes(catalogue: Catalogue) -> None:
    text = "Code\tRate\tEffective\n44 7400-7409\t0.02\t12/31/2026\n4420-29\t0.01\t01/02/2027\n"

    deck, mistakes = _read(catalogue, text, currency="GBP")

    assert mistakes == []
    assert {target for target, _ in deck.rates["GBP"]} == {"44740", "442"}
    assert deck.rates["GBP"]["442", ""][0].valid_from == "2027-01-02"


def test_a_workbook_with_real_dates_and_figures(catalogue: Catalogue) -> None:
    output = io.BytesIO()
    book = Workbook(output, {"in_memory": True})
    sheet = book.add_worksheet("A-Z")
    day = book.add_format({"num_format": "yyyy-mm-dd"})
    sheet.write_row(2, 1, ["Prefix", "USD/min", "Increment", "Valid from", "Valid until"])
    sheet.write_row(3, 1, [39, 0.1 + 0.2, "60/1"])
    sheet.write_datetime(3, 4, datetime(2027, 2, 1), day)  # noqa: DTZ001 - As workbooks have them.
    sheet.write_datetime(3, 5, date(2027, 3, 1), day)
    book.close()

    deck, mistakes = _read(catalogue, output.getvalue())

    assert mistakes == []
    first, second = deck.rates["USD"]["39", ""]
    assert first.terms() == (300_000, 0, "60/1")
    assert (first.valid_from, second.valid_from) == ("2027-02-01", "2027-03-01")
    assert second.per_minute_micros is None


def test_a_deck_by_names_of_countries_with_a_map(catalogue: Catalogue) -> None:
    text = "Ziel|Kosten\nItaly - Mobile|0.2 EUR\nItaly|EUR 0.1\nUSA|0.01 EUR\n"

    deck, mistakes = _read(catalogue, text, columns={"country": "Ziel", "per_minute": "#2"})

    assert mistakes == []
    assert set(_prices(deck, "EUR")) == {"IT/mobile", "IT", "US"}


def test_each_bad_line_is_named_with_file_line_and_column(catalogue: Catalogue) -> None:
    text = (
        "Code,Rate,Billing,Effective\n"
        "39,0.01,60/60,2026-12-01\n"
        "39y,0.01,60/60,2026-12-01\n"
        "44,free,60/60,2026-12-01\n"
        "33,0.01,0/6,2026-12-01\n"
        "34,0.01,60/60,2026-02-30\n"
        "36,,60/60,2026-12-01\n"
        "39,0.02,60/60,2026-12-01\n"
        "4420 4421,0.02,60/60,2026-12-01\n"
        "41,0.02,7200/60,2026-12-01\n"
    )

    _, mistakes = _read(catalogue, text, currency="USD")

    assert [mistake.split(";")[0] for mistake in mistakes] == [
        "deck.csv:3: Code: is '39y'",
        "deck.csv:4: Rate: is 'free'",
        "deck.csv:5: Billing: is '0/6'",
        "deck.csv:6: Effective: is '2026-02-30'",
        "deck.csv:7: Rate: is empty",
        "deck.csv:8: Code: 39 has another rate in line 2 from the same time on",
        "deck.csv:9: Code: is '4420 4421'",
        "deck.csv:10: Billing: first_increment_seconds: 7200 is not between 1 and 3600",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n", "has no column for per_minute in its first rows"),
        ("Code,Rate\n", "is a header without any row"),
        ("Code,Rate\n39,0.1\n", "currency: is named nowhere"),
        ('Code,Rate USD\n39,"1,234"\n', "may have decimals or thousands behind its commas"),
        ("Code,Rate USD,Effective\n39,0.1,01/02/2027\n", "day or month first?"),
        ("Code,Rate USD\n1,0.1\n", "1 leads to several countries; name one"),
        ("PK\x03\x04", "is no workbook that can be read"),
        ("Code,Rate USD\nUtopia,0.1\n", "'Utopia', no country of countries.csv"),
        ("", "is empty"),
    ],
)
def test_what_a_deck_leaves_open_is_asked_and_never_guessed(
    catalogue: Catalogue, text: str, told: str
) -> None:
    _, mistakes = _read(catalogue, text)

    assert len(mistakes) == 1
    assert told in mistakes[0]


def test_one_that_leads_to_many_countries_is_spread_over_the_area_codes_of_the_one_named(
    catalogue: Catalogue,
) -> None:
    deck, mistakes = _read(catalogue, "Country,Code,Rate USD\nUSA,1,0.01\n")

    assert mistakes == []
    assert ("1206", "") in deck.rates["USD"]
    assert ("1242", "") not in deck.rates["USD"]
    assert "area codes of US" in deck.remarks[0].text


@pytest.mark.parametrize(
    ("text", "prefixes"),
    [
        ("+44", ["44"]),
        ("0044", ["44"]),
        ("44 20, 121", ["4420", "44121"]),
        ("44 20, 44 121", ["4420", "44121"]),
        ("4420,44121", ["4420", "44121"]),
        ("44: 20; 121-123", ["4420", "44121", "44122", "44123"]),
        ("(44) 20", ["4420"]),
        ("1-242", ["1242"]),
        ("420-429", ["42"]),
        ("UK 4420 / 4421", ["4420", "4421"]),
    ],
)
def test_prefixes_are_read_as_carriers_write_them(text: str, prefixes: list[str]) -> None:
    assert read_prefixes(text) == prefixes


def test_a_range_is_covered_exactly() -> None:
    for low, high in ((0, 999), (5, 37), (120, 129), (199, 201), (1, 998)):
        found = list(covering(f"{low:03}", f"{high:03}"))
        numbers = [
            int(one) for one in (f"{n:03}" for n in range(1000)) if one.startswith(tuple(found))
        ]
        assert numbers == list(range(low, high + 1))
        assert len(set(found)) == len(found)


def _rate(micros: int | None, day: str, increments: str = "60/60") -> DeckRate:
    at = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000
    return DeckRate(day, at, micros, 0, increments)


def test_what_is_new_gone_up_down_and_by_how_much_is_told() -> None:
    old = "2026-01-01"
    present = {(str(n), ""): [_rate(100, old)] for n in (31, 32, 33, 34, 35)}
    deck = {
        ("31", ""): [_rate(150, "2026-11-01")],
        ("32", ""): [_rate(50, "2027-01-01")],
        ("33", ""): [_rate(100, "2027-01-01")],
        ("34", ""): [_rate(100, "2026-12-01", "1/1")],
        ("36", ""): [_rate(10, "2026-12-01")],
    }

    merged = merge_deck("USD", present, deck, now_ms=NOW_MS, keep_others=False)

    assert {each.target[0]: each.kind for each in merged.changes} == {
        "31": ChangeKind.UP,
        "32": ChangeKind.DOWN,
        "34": ChangeKind.TERMS,
        "35": ChangeKind.GONE,
        "36": ChangeKind.NEW,
    }
    assert merged.unchanged == 1
    assert merged.rates["32", ""] == [_rate(100, old), _rate(50, "2027-01-01")]
    assert merged.rates["33", ""] == [_rate(100, old)]
    # Until the first date to come.
    assert [each.per_minute_micros for each in merged.rates["35", ""]] == [100, None]


def test_others_are_kept_where_that_is_asked_for() -> None:
    present = {("31", ""): [_rate(100, "2026-01-01")]}
    deck = {("32", ""): [_rate(1, "2026-01-01")]}

    merged = merge_deck("USD", present, deck, now_ms=NOW_MS, keep_others=True)

    assert set(merged.rates) == {("31", ""), ("32", "")}
    assert [each.kind for each in merged.changes] == [ChangeKind.NEW]


def test_a_change_that_was_announced_and_is_missing_in_the_next_deck_is_dropped() -> None:
    present = {("31", ""): [_rate(100, "2026-01-01"), _rate(200, "2027-01-01")]}
    deck = {("31", ""): [_rate(100, "2026-01-01")]}

    merged = merge_deck("USD", present, deck, now_ms=NOW_MS, keep_others=False)

    assert merged.rates["31", ""] == [_rate(100, "2026-01-01")]
    assert [each.kind for each in merged.changes] == [ChangeKind.DROPPED]
