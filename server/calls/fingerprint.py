"""What makes two questions the same one: their meaning, not their bytes."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from policy.facts import Call, Tenant
from policy.numbering import read_number
from policy.spelling import strip_separators

_VERSION = "callgate question 2"
# No field holds one: ids are printable ASCII, numbers have no control characters.
_SEPARATOR = "\n"
_HASH_BYTES = 16


def fingerprint(
    call: Call, tenant: Tenant, *, explain: bool, used_seconds: int | None = None
) -> str:
    """Hash what was asked, with spellings of one number read as that number.

    What a spelling means hangs on the country of the user. Where the user is not known (any more)
    the tenant's country is used, as the rules do.
    """
    country = home_country(call.account_ids, tenant)
    fields = (
        call.kind,
        call.tenant_id,
        meaning(call.called_number, country, tenant),
        meaning(call.calling_number, country, tenant),
        *call.account_ids,
        "",
        call.location,
        str(call.requested_seconds),
        "callback" if call.emergency_callback else "",
        "explain" if explain else "",
        *(() if used_seconds is None else (str(used_seconds),)),
    )
    return fingerprint_of(fields)


def fingerprint_of(fields: Iterable[str]) -> str:
    """Hash the fields of a question in their order: 32 hexadecimal digits."""
    text = f"{_VERSION}{_SEPARATOR}{_SEPARATOR.join(fields)}"
    return blake2b(text.encode(), digest_size=_HASH_BYTES).hexdigest()


def home_country(account_ids: tuple[str, ...], tenant: Tenant) -> str:
    """Say by which country's habits an account of the tenant dials."""
    if account_ids:
        first = account_ids[0]
        account = tenant.users.get(first) or tenant.resource_accounts.get(first)
        if account is not None and account.usage_location:
            return account.usage_location
    return tenant.country


def meaning(number: str, country: str, tenant: Tenant) -> str:
    """Read a number as E.164; what is none stands for itself."""
    if not number:
        return ""
    return read_number(number, country, tenant.dial_plan) or strip_separators(number)
