"""Service numbers: where they belong to, what answers there, and that calls to them have a rate."""

from __future__ import annotations

from dataclasses import dataclass

from policy.destination import NANP_COUNTRIES, WORLD, NumberClass, find_destination
from policy.facts import ServiceKind, ServiceNumber
from policy.rating import NANP_RATE_COUNTRY
from server.facts.catalogue import CatalogueFiles
from server.facts.directory.sections import ServiceNumberSection
from server.facts.directory.tenant_file import KeyPath, TenantFile

SHORTEST_E164 = 6
LONGEST_E164 = 16


@dataclass(frozen=True, slots=True)
class NumberReader:
    """Builds the service numbers of one file against one catalogue; notes what does not fit."""

    file: TenantFile
    catalogue: CatalogueFiles
    currency: str
    per_minute: bool

    def service_numbers(self) -> dict[str, ServiceNumber]:
        """Build every service number that leads somewhere."""
        found = {}
        for number, section in self.file.service_numbers.items():
            built = self.service_number(number, section)
            if built is not None:
                found[number] = built
        return found

    def service_number(self, number: str, section: ServiceNumberSection) -> ServiceNumber | None:
        """Build one service number; None where it leads nowhere."""
        at: KeyPath = ("service_numbers", number)
        built = self._build(number, section, at)
        if built is not None:
            self._check_rate(built, at)
        return built

    def _build(
        self, number: str, section: ServiceNumberSection, at: KeyPath
    ) -> ServiceNumber | None:
        catalogue = self.catalogue.catalogue
        is_e164 = number.startswith("+") and number[1:].isdecimal() and number.isascii()
        if not (is_e164 and SHORTEST_E164 <= len(number) <= LONGEST_E164):
            self.file.note(at, 'is not in E.164; give "+" and at most 15 digits')
            return None
        leads_to = find_destination(catalogue.destinations, catalogue.longest_prefix, number)
        if leads_to is None:
            self.file.note(at, "leads nowhere; no prefix of prefixes.csv matches")
            return None
        self._check_account(section, at)
        country = self._country(section, leads_to.country, at)
        if country is None:
            return None
        toll_free = leads_to.number_class is NumberClass.TOLL_FREE
        return ServiceNumber(number, section.service, toll_free, country, section.account)

    def _country(self, section: ServiceNumberSection, known: str, at: KeyPath) -> str | None:
        if known != WORLD and section.country in {None, known}:
            return known
        if known != WORLD:
            text = f"is {section.country!r}, but the number is of {known}; leave it out"
        elif section.country is None:
            text = "is missing; this number is of no country by itself, so say which one's it is"
        elif section.country not in self.catalogue.countries:
            text = f"is {section.country!r}; give a country of countries.csv"
        else:
            return section.country
        self.file.note((*at, "country"), text)
        return None

    def _check_account(self, section: ServiceNumberSection, at: KeyPath) -> None:
        if section.service is ServiceKind.BRIDGE and not section.account:
            return
        if section.account not in self.file.resource_accounts:
            text = f"is {section.account!r}; give a name of [resource_accounts]"
            self.file.note((*at, "account"), text)

    def _check_rate(self, number: ServiceNumber, at: KeyPath) -> None:
        """Note a number whose callers would all be refused for want of a rate."""
        if number.toll_free:
            nanp = number.country in NANP_COUNTRIES
            country = NANP_RATE_COUNTRY if nanp else number.country
            table = self.catalogue.catalogue.toll_free_rates.get(self.currency, {})
            if (country, country) not in table:
                wanted = f"toll_free_rates/{self.currency}.csv"
                self.file.note(at, f"has no toll-free rate; add {country},{country} to {wanted}")
        elif self.per_minute and number.service is ServiceKind.BRIDGE:
            toll_table = self.catalogue.catalogue.toll_rates.get(self.currency, {})
            if number.country not in toll_table:
                wanted = f"toll_rates/{self.currency}.csv"
                self.file.note(at, f"has no toll rate; add {number.country} to {wanted}")
