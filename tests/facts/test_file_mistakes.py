"""Every mistake in a file is told with file, line and field, all of them in one reading."""

from __future__ import annotations

import pytest

from fact_files import RATES_HEADER, FactFiles

TENANT = "directory/fabrikam.toml"
RATES = "catalogue/rates/EUR.csv"
PREFIXES = "catalogue/prefixes.csv"

# A file, what to change in it, and how the mistake is told.
MISTAKES = (
    (PREFIXES, "1206,US", "1206,UX", "catalogue/prefixes.csv:7: country: is 'UX'; give a country"),
    (PREFIXES, "1206,US", "39,US", "prefixes.csv:7: prefix: 39 stands here twice; remove one"),
    (PREFIXES, "1206,US", "+1206,US", "prefixes.csv:7: prefix: is '+1206'; give digits"),
    (PREFIXES, "mobile,", "cell,", "prefixes.csv:5: number_class: is 'cell'; give one of ordinary"),
    (PREFIXES, "prefix,country", "prefix,land", "prefixes.csv:2: the header is 'prefix,land,"),
    (PREFIXES, "1206,US,", "1206,US,,", "prefixes.csv:7: has 5 cells, the header 4"),
    (PREFIXES, '"Italy, mobile"', '"Italy, mobile', "prefixes.csv:5: cannot be split into cells"),
    (RATES, "0.10", "0.1234567", "EUR.csv:2: per_minute: is '0.1234567'; give an amount in units"),
    (RATES, "0.10", "-0.10", "EUR.csv:2: per_minute: is '-0.10'; give an amount in units"),
    (RATES, "60/6,", "60/0,", "EUR.csv:3: increments: is '60/0'; give seconds of the first"),
    (RATES, "60/6,", "7200/6,", "EUR.csv:3: first_increment_seconds: 7200 is not between"),
    (RATES, "60/60,2026-01-01", "60/60,1.1.2026", "EUR.csv:2: valid_from is '1.1.2026'; give a"),
    (RATES, "VA,,0.30", "US,,0.30", "EUR.csv:4: EUR:US:2026-01-01 stands here twice"),
    (RATES, "VA,,0.30", "XX,,0.30", "EUR.csv: destination: XX is no country of countries.csv"),
    ("catalogue/plans.csv", "IT,1200", "IT,many", "plans.csv:3: domestic_minutes: is 'many'; give"),
    ("catalogue/skus.csv", "phone_system", "phone", "skus.csv:2: capabilities: 'phone' is none of"),
    ("catalogue/skus.csv", ",MCOPSTN1,D", ",MCOPSTN7,D", "skus.csv:3: plan: 'MCOPSTN7' is no plan"),
    (
        "catalogue/emergency_numbers.csv",
        ">911",
        ">999",
        "emergency_numbers.csv:3: numbers: US: mask 9911 leads to 999",
    ),
    (TENANT, 'id = "fabrikam"', "id = fabrikam", "fabrikam.toml:1: is not TOML"),
    (TENANT, 'id = "fabrikam"', 'id = "contoso"', "fabrikam.toml:1: id: is 'contoso', the id in"),
    (TENANT, 'id = "fabrikam"', 'id = "a b"', "fabrikam.toml:1: id: is 'a b'; give an id of"),
    (TENANT, 'currency = "EUR"', "", "fabrikam.toml: currency: is missing; give a currency of"),
    (TENANT, "EUR", "EUX", "fabrikam.toml:3: currency: is 'EUX', in which there are no rates"),
    (TENANT, '"IT"\ncurrency', '"VA"\ncurrency', "toml:4: funding_model: is prepaid, but credits"),
    (TENANT, '"prepaid"', '"prepay"', "toml:4: funding_model: is 'prepay'; give one of prepaid"),
    (TENANT, '"prepaid"', '"none"', "toml:5: opening_balance: has no meaning for none"),
    (TENANT, '"0.00"', "0.00", "toml:5: opening_balance: is 0.0; give an amount in units"),
    (TENANT, "opening_", "openning_", "toml:5: openning_balance: is not a field here; did you"),
    (TENANT, '"MCOEV"', '"MCOEVE"', "toml:9: users.gina.licences: 'MCOEVE' is no licence"),
    (TENANT, "usage_location", "location", "toml:8: users.gina.location: is not a field here"),
    (TENANT, '"IT"\nlicences', '"VA"\nlicences', "toml:9: users.gina.licences: MCOPSTN1 is not"),
    (TENANT, "[users.gina]", '[users."g i"]', "toml:7: users.g i: is no id; give 1 to 128"),
    (TENANT, "+39800555010", "39800555010", "service_numbers.39800555010: is not in E.164"),
    (TENANT, "+39800555010", "+4980055501", "service_numbers.+4980055501: leads nowhere"),
    (TENANT, "+39800555010", "+18005550100", "+18005550100.country: is missing; this number"),
    (TENANT, '"bridge"', '"queue"', "+39800555010.account: is ''; give a name of [resource_acc"),
    (TENANT, '"bridge"', '"bridge"\ncountry = "US"', "toml:13: service_numbers.+39800555010.count"),
)


@pytest.mark.parametrize(("name", "old", "new", "told"), MISTAKES)
def test_a_mistake_names_file_line_field_and_what_would_be_right(
    files: FactFiles, name: str, old: str, new: str, told: str
) -> None:
    files.change(name, old, new)

    assert [line for line in files.mistakes() if told in line], files.mistakes()


ADDITIONS = (
    ('restriction = "None"', "toml:1: restriction: is 'None'; give an identity of restrictions"),
    ('time_zone = "Rome"', "toml:1: time_zone: is 'Rome'; give a zone of the IANA list"),
    ('time_zone = "localtime"', "toml:1: time_zone: is 'localtime'; give a zone of the IANA"),
    ('blocked_prefixes = ["1907", "+1"]', "toml:1: blocked_prefixes: is ['1907', '+1']; give"),
    ('overdraft = "1e3"', "toml:1: overdraft: is '1e3'; give an amount in units"),
    ("frozen = 1", "toml:1: frozen: is 1; give true or false"),
    ("users = 3", "is not TOML"),
)


@pytest.mark.parametrize(("line", "told"), ADDITIONS)
def test_a_wrong_value_in_the_head_of_a_tenant_is_told(
    files: FactFiles, line: str, told: str
) -> None:
    files.change(TENANT, 'id = "fabrikam"', f'{line}\nid = "fabrikam"')

    assert [found for found in files.mistakes() if told in found], files.mistakes()


SECTIONS = (
    ("[licences_purchased]\nMCOEV = 0", "licences_purchased.MCOEV: is 0, but 1 are assigned"),
    ("[licences_purchased]\nNONE = 3", "toml:14: licences_purchased.NONE: is no licence of skus"),
    ("[licences_purchased]\nMCOEV = true", "licences_purchased.MCOEV: is True; give how many"),
    ('[[dial_plan]]\nname="n"\npattern="(1+)+"\ntranslation="$1"', "toml:13: dial_plan.0: n: patt"),
    ('[[dial_plan]]\nname="n"\npattern="1"', "dial_plan.0.translation: is missing"),
    (
        '[inbound_block]\nenabled=true\npatterns=["1",\n"(a*)*"]',
        "toml:16: inbound_block.patterns.1",
    ),
    ('[users.hal]\nusage_location="IT"\nnumber="+39800555010"', "already users.hal.number of fabr"),
    ('[users.hal]\nusage_location="IT"\nnumber="+12065550101"', "is already users.adele.number of"),
    ('[users.hal]\nusage_location="IT"\nshared_calling_account="x"', "is 'x'; give a name of [res"),
    ('[resource_accounts.gina]\nusage_location="IT"', "resource_accounts.gina: is a user as well"),
)


@pytest.mark.parametrize(("section", "told"), SECTIONS)
def test_a_wrong_section_of_a_tenant_is_told(files: FactFiles, section: str, told: str) -> None:
    files.append(TENANT, section)

    assert [found for found in files.mistakes() if told in found], files.mistakes()


def test_all_mistakes_of_all_files_are_told_at_once(files: FactFiles) -> None:
    files.change(PREFIXES, "1206,US", "1206,UX")
    files.change(RATES, "0.10", "ten cents")
    files.change(TENANT, '"0.00"', '"none"')
    files.change(TENANT, "MCOPSTN1", "MCOPSTN99")
    files.change("directory/contoso.toml", '"US"\nlicences', '"XY"\nlicences')

    mistakes = files.mistakes()

    assert len([line for line in mistakes if "catalogue/" in line]) >= 2
    assert len([line for line in mistakes if "fabrikam.toml" in line]) == 2
    assert len([line for line in mistakes if "contoso.toml" in line]) == 1


def test_a_missing_table_is_told_but_for_rates_of_service_numbers(files: FactFiles) -> None:
    files.path("catalogue/zone_a.csv").unlink()
    files.path("catalogue/toll_rates/EUR.csv").unlink()

    assert files.mistakes() == [
        "catalogue/zone_a.csv: cannot be read: No such file or directory",
    ]


def test_toll_rates_in_a_currency_without_rates_are_told(files: FactFiles) -> None:
    files.write("catalogue/toll_rates/CHF.csv", "")

    assert files.mistakes() == [
        "catalogue/toll_rates/CHF.csv: is not used: there is no rates/CHF.csv; "
        "give one or remove this"
    ]


def test_a_toll_free_number_without_a_rate_in_the_tenants_currency_is_told(
    files: FactFiles,
) -> None:
    files.change("catalogue/toll_free_rates/EUR.csv", "IT,IT,", "US,US,")

    assert files.mistakes() == [
        "directory/fabrikam.toml:11: service_numbers.+39800555010: "
        "has no toll-free rate; add IT,IT to toll_free_rates/EUR.csv"
    ]


def test_text_that_is_not_utf_8_is_told(files: FactFiles) -> None:
    files.path(RATES).write_bytes(RATES_HEADER.encode() + b"\xff\n")

    assert "catalogue/rates/EUR.csv: is not UTF-8 at byte 73; save it as UTF-8" in files.mistakes()


def test_sound_files_have_no_mistakes(files: FactFiles) -> None:
    assert files.mistakes() == []
