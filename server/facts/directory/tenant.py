"""A tenant from its file: the rest of its facts, and the checks that look across sections."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from policy.dial_plan import InvalidDialPlan, check_dial_plan, compile_rule, compile_search
from policy.facts import DialPlanRule, FundingModel, Notices, ResourceAccount, Tenant, User
from policy.pools import Holdings
from server.facts.catalogue import CatalogueFiles
from server.facts.directory.accounts import AccountReader
from server.facts.directory.digest import with_digest
from server.facts.directory.numbers import NumberReader
from server.facts.directory.sections import TenantSection
from server.facts.directory.tenant_file import KeyPath, TenantFile
from server.facts.files.figures import to_micros

WITH_BALANCE = frozenset({FundingModel.PREPAID, FundingModel.DRAIN_THEN_POST_PAID})


def build_tenant(file: TenantFile, catalogue: CatalogueFiles) -> Tenant | None:
    """Build the tenant of a file and note what does not fit together; None without a sound head."""
    reader = AccountReader(file, catalogue)
    users, accounts = reader.users(), reader.resource_accounts()
    holdings = Holdings()
    for account in chain[User | ResourceAccount](users.values(), accounts.values()):
        holdings.add(account)
    reader.check_purchased(file.assigned())
    built = build_head(reader, holdings)
    if built is None:
        return None
    numbers = NumberReader(file, catalogue, built.currency, built.per_minute_conferencing)
    whole = replace(
        built, users=users, resource_accounts=accounts, service_numbers=numbers.service_numbers()
    )
    return with_digest(whole)


def build_head(reader: AccountReader, holdings: Holdings) -> Tenant | None:
    """Build a tenant, but for its users, accounts and numbers; None where its head is not sound.

    `holdings` are what its accounts hold together.
    """
    file, head = reader.file, reader.file.tenant
    beside_head: dict[str, Any] = {
        "users": {},
        "resource_accounts": {},
        "service_numbers": {},
        "dial_plan": _dial_plan(file),
        "blocked_callers": _patterns(file, "patterns"),
        "exempt_callers": _patterns(file, "exemptions"),
    }
    if head is None:
        return None
    _check_head(file, head, reader)
    restriction = reader.restriction(head.restriction, ("restriction",))
    if restriction is None:
        return None
    purchased = reader.purchased_conferencing(holdings.subscriptions)
    return Tenant(
        **_head_facts(file, head),
        **beside_head,
        restriction=restriction,
        pool_sizes=holdings.sizes(basis=head.dial_out_pool_basis, purchased_conferencing=purchased),
    )


# What a machine has beside the zones of the IANA list, and may mean another zone on the next one.
_OF_THE_MACHINE = ("localtime", "posix", "right/", "Factory", "SystemV/")


def _head_facts(file: TenantFile, head: TenantSection) -> dict[str, Any]:
    block = file.inbound_block
    opening = head.opening_balance
    return {
        "tenant_id": head.id,
        "country": head.country,
        "currency": head.currency,
        "time_zone": head.time_zone,
        "digest": "",
        "funding_model": head.funding_model,
        "credits_enabled": head.credits_enabled,
        "opening_balance_micros": None if opening is None else to_micros(opening),
        "overage_enabled": head.overage_enabled,
        "auto_recharge": head.auto_recharge,
        "folded_names": _folded_names(file) if head.fold_case else {},
        "per_minute_conferencing": head.per_minute_conferencing,
        "overdraft_micros": to_micros(head.overdraft),
        "frozen": head.frozen,
        "blocked_prefixes": tuple(head.blocked_prefixes),
        "block_inbound": block is not None and block.enabled,
        "overflow_to_calling_plan": head.overflow_to_calling_plan,
        "unknown_origin": head.unknown_origin,
        "concurrent_calls_limit": head.concurrent_calls_limit,
        "notices": _notices(file),
    }


def _folded_names(file: TenantFile) -> dict[str, str]:
    """Map lower case to the id that has it; where several have, case tells them apart."""
    names = (*file.users, *file.resource_accounts)
    having = Counter(name.lower() for name in names)
    return {name.lower(): name for name in names if having[name.lower()] == 1}


def _notices(file: TenantFile) -> Notices:
    section = file.notices
    if section is None:
        return Notices()
    low = section.low_balance
    return Notices(
        recipients=tuple(section.recipients),
        language=section.language.value,
        webhook_url=section.webhook_url,
        low_balance_micros=None if low is None else to_micros(low),
        expiring_days=section.expiring_days,
    )


def _check_head(file: TenantFile, head: TenantSection, reader: AccountReader) -> None:
    catalogue = reader.catalogue
    reader.check_country(head.country, ("country",))
    if head.currency not in catalogue.catalogue.rates:
        known = ", ".join(sorted(catalogue.catalogue.rates)) or "none"
        text = f"is {head.currency!r}, in which there are no rates; there are some in {known}"
        file.note(("currency",), text)
    try:
        if head.time_zone.startswith(_OF_THE_MACHINE):
            raise ValueError(head.time_zone)
        ZoneInfo(head.time_zone)
    except (ZoneInfoNotFoundError, OSError, ValueError):
        text = f"is {head.time_zone!r}; give a zone of the IANA list, such as Europe/Rome"
        file.note(("time_zone",), text)
    if head.opening_balance is not None and head.funding_model not in WITH_BALANCE:
        text = f"has no meaning for {head.funding_model.value}; leave it out"
        file.note(("opening_balance",), text)
    if head.funding_model in WITH_BALANCE and head.country not in catalogue.credits_countries:
        text = f"is {head.funding_model.value}, but credits cannot be bought in {head.country}"
        file.note(("funding_model",), f"{text}; give post_paid or none")


def _dial_plan(file: TenantFile) -> tuple[DialPlanRule, ...]:
    rules: list[DialPlanRule] = []
    for place, section in enumerate(file.dial_plan):
        try:
            rules.append(compile_rule(section.name, section.pattern, section.translation))
        except InvalidDialPlan as error:
            file.note(("dial_plan", place), str(error))
    try:
        check_dial_plan(tuple(rules))
    except InvalidDialPlan as error:
        file.note(("dial_plan",), str(error))
    return tuple(rules)


def _patterns(file: TenantFile, name: str) -> tuple[re.Pattern[str], ...]:
    """Compile what callers are matched with; the limits of a dial plan keep them harmless, too."""
    block = file.inbound_block
    compiled = []
    for place, pattern in enumerate(getattr(block, name) if block is not None else ()):
        at: KeyPath = ("inbound_block", name, place)
        try:
            compiled.append(compile_search(pattern))
        except InvalidDialPlan as error:
            file.note(at, str(error))
    return tuple(compiled)
