"""Users and resource accounts: licences unfolded, plans looked up, every reference checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from policy.facts import Capability, Plan, ResourceAccount, Restriction, User
from policy.licence import count_purchased, find_plan, unfold
from server.facts.catalogue import CatalogueFiles
from server.facts.directory.sections import ResourceAccountSection, UserSection
from server.facts.directory.tenant_file import KeyPath, TenantFile
from server.facts.files.figures import to_micros

_Amount = tuple[frozenset[Capability], Plan | None]


@dataclass(frozen=True, slots=True)
class AccountReader:
    """Builds the accounts of one file against one catalogue; notes what does not fit."""

    file: TenantFile
    catalogue: CatalogueFiles
    # Thousands hold the same few licences, so what these amount to is worked out once.
    _amounts: dict[tuple[str, ...], _Amount] = field(default_factory=dict)

    def users(self) -> dict[str, User]:
        """Build every user."""
        return {name: self.user(name, section) for name, section in self.file.users.items()}

    def resource_accounts(self) -> dict[str, ResourceAccount]:
        """Build every resource account."""
        return {
            name: self.resource_account(name, section)
            for name, section in self.file.resource_accounts.items()
        }

    def restriction(self, identity: str, at: KeyPath) -> Restriction | None:
        """Look up an outbound calling restriction; none is named by an empty text."""
        if not identity:
            return None
        found = self.catalogue.restrictions.get(identity)
        if found is None:
            self.file.note(at, f"is {identity!r}; give an identity of restrictions.csv")
        return found

    def check_country(self, country: str, at: KeyPath) -> None:
        """Note a country that is in no list."""
        if country not in self.catalogue.countries:
            self.file.note(at, f"is {country!r}; give a country of countries.csv")

    def check_purchased(self, assigned: Mapping[str, int]) -> None:
        """Note licences that are in no table, or that fewer were bought of than are assigned.

        `assigned` counts by name in capitals.
        """
        for name, count in self.file.purchased.items():
            at = ("licences_purchased", name)
            given = assigned.get(name.upper(), 0)
            if name.upper() not in self.catalogue.skus:
                self.file.note(at, "is no licence of skus.csv")
            elif count < given:
                self.file.note(at, f"is {count}, but {given} are assigned; give at least that")

    def purchased_conferencing(self, assigned: int) -> int:
        """Count the purchased conferencing licences; where none are listed, those assigned."""
        purchased = self.file.purchased
        if purchased:
            skus = self.catalogue.skus
            return count_purchased(purchased, skus, Capability.AUDIO_CONFERENCING)
        return assigned

    def user(self, name: str, section: UserSection) -> User:
        """Build one user."""
        at = ("users", name)
        capabilities, plan = self._licences(section, at)
        shared = section.shared_calling_account
        if shared and shared not in self.file.resource_accounts:
            text = f"is {shared!r}; give a name of [resource_accounts]"
            self.file.note((*at, "shared_calling_account"), text)
        limit = section.spend_limit
        return User(
            user_id=name,
            usage_location=section.usage_location,
            capabilities=capabilities,
            plan=plan,
            number=section.number or "",
            connectivity=section.connectivity,
            restriction=self.restriction(section.restriction, (*at, "restriction")),
            shared_calling_account_id=shared,
            allow_toll_free_dial_in=section.allow_toll_free_dial_in,
            spend_limit_micros=None if limit is None else to_micros(limit),
            concurrent_calls_limit=section.concurrent_calls_limit,
            frozen=section.frozen,
        )

    def resource_account(self, name: str, section: ResourceAccountSection) -> ResourceAccount:
        """Build one resource account."""
        at = ("resource_accounts", name)
        if name in self.file.users:
            self.file.note(at, "is a user as well; give it another name")
        capabilities, plan = self._licences(section, at)
        return ResourceAccount(
            account_id=name,
            usage_location=section.usage_location,
            capabilities=capabilities,
            plan=plan,
            restriction=self.restriction(section.restriction, (*at, "restriction")),
            concurrent_calls_limit=section.concurrent_calls_limit,
            frozen=section.frozen,
        )

    def _licences(self, section: UserSection | ResourceAccountSection, at: KeyPath) -> _Amount:
        """Unfold the licences of an account, and find its plan where it lives."""
        held = (section.usage_location, *section.licences)
        known = self._amounts.get(held)
        if known is not None:
            return known
        mistakes = self.file.problems.count
        amount = self._unfold(section, at)
        if self.file.problems.count == mistakes:
            self._amounts[held] = amount
        return amount

    def _unfold(self, section: UserSection | ResourceAccountSection, at: KeyPath) -> _Amount:
        self.check_country(section.usage_location, (*at, "usage_location"))
        licences = unfold(section.licences, self.catalogue.skus)
        for text in self._licence_mistakes(licences.unknown, licences.plans):
            self.file.note((*at, "licences"), text)
        if not licences.plans:
            return licences.capabilities, None
        plan = find_plan(self.catalogue.plans, licences.plans[0], section.usage_location)
        if plan is None:
            text = f"{licences.plans[0]} is not sold in {section.usage_location}; see plans.csv"
            self.file.note((*at, "licences"), text)
        return licences.capabilities, plan

    def _licence_mistakes(self, unknown: tuple[str, ...], plans: tuple[str, ...]) -> Iterator[str]:
        for name in unknown:
            yield f"{name!r} is no licence of skus.csv"
        if len(plans) > 1:
            yield f"{' and '.join(plans)} are two plans; an account has one"
