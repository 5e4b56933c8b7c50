"""From the options of `callgate authorize` to a question of the contract."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import click

from callgate.v1.authorization_pb2 import AuthorizeCallRequest

DEFAULT_GATEWAY = "callgate-cli"

# What `--kind` says: the field of the question, and the field in it that names the account.
_USER, _ORGANIZER, _ACCOUNTS = "user_id", "organizer_id", "resource_account_ids"
KINDS = {
    "user": ("user_call", _USER),
    "forwarded": ("forwarded_call", _USER),
    "transferred": ("transferred_call", _USER),
    "added-party": ("added_party_call", _USER),
    "meeting": ("meeting_dial_out", _ORGANIZER),
    "call-me": ("call_me", _ORGANIZER),
    "toll-free": ("service_number_call", _ORGANIZER),
    "toll": ("service_number_call", _ORGANIZER),
    "attendant": ("attendant_transfer", _ACCOUNTS),
    "queue": ("queue_transfer", _ACCOUNTS),
    "inbound": ("inbound_call", _USER),
}
KIND_NAMES = tuple(KINDS)
_ARRIVING = frozenset({"toll-free", "toll"})

# The option that fills a field, for messages about the field.
_OPTIONS = {
    "tenant_id": "--tenant",
    "gateway_id": "--gateway",
    "call_id": "--call-id",
    "sequence": "--sequence",
    "called_number": "--to",
    "calling_number": "--from",
    "location": "--location",
    "requested_duration": "--seconds",
    "kind": "--user, or --kind and the account that goes with it",
    "user_id": "--user",
    "organizer_id": "--organizer",
    "resource_account_ids": "--account",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The options as they were typed; None or empty where they were not."""

    kind: str | None
    tenant: str
    user: str | None
    organizer: str | None
    accounts: tuple[str, ...]
    to: str | None
    calling: str
    service_number: str | None
    location: str
    seconds: int | None
    call_id: str | None
    sequence: int
    gateway: str
    dry_run: bool
    explain: bool


def question_of(given: Given) -> AuthorizeCallRequest:
    """Build the question; raise `click.UsageError` for options that do not go together.

    What the values must look like is the server's to judge, so that there is one such rule.
    """
    question = AuthorizeCallRequest(
        tenant_id=given.tenant,
        gateway_id=given.gateway,
        call_id=given.call_id or f"cli-{secrets.token_hex(8)}",
        sequence=given.sequence,
        called_number=_called_number(given),
        calling_number=given.calling,
        location=given.location,
        dry_run=given.dry_run,
        explain=given.explain,
    )
    if given.seconds is not None:
        question.requested_duration.seconds = given.seconds
    _set_kind(question, given)
    return question


def option_of(field: str) -> str | None:
    """Return the option that fills a field of the question ("user_call.user_id": "--user")."""
    return _OPTIONS.get(field.rpartition(".")[2].partition("[")[0])


def _called_number(given: Given) -> str:
    if given.service_number is None:
        if given.to is None and given.kind == "inbound":
            return ""
        if given.to is None:
            raise click.UsageError("Give the number called: --to N.")
        return given.to
    if given.kind not in _ARRIVING:
        raise click.UsageError(
            "--service-number goes with --kind toll-free or toll; here, use --to."
        )
    if given.to not in {None, given.service_number}:
        raise click.UsageError("--to and --service-number name the same number; give one of them.")
    return given.service_number


def _set_kind(question: AuthorizeCallRequest, given: Given) -> None:
    if given.kind is None and not (given.user or given.organizer or given.accounts):
        return  # Enough for an emergency number; for others the server asks for a kind.
    kind_name = given.kind or "user"
    field, names = KINDS[kind_name]
    if names != _ACCOUNTS and given.accounts:
        raise click.UsageError("--account goes with --kind attendant or queue.")
    kind = getattr(question, field)
    kind.SetInParent()
    if names == _USER:
        kind.user_id = _user(kind_name, given)
    elif names == _ORGANIZER:
        kind.organizer_id = _organizer(kind_name, given)
    else:
        kind.resource_account_ids.extend(_accounts(kind_name, given))


def _user(kind_name: str, given: Given) -> str:
    if given.organizer:
        raise click.UsageError(f"--kind {kind_name} has no organizer; name its user by --user.")
    if not given.user:
        raise click.UsageError(f"--kind {kind_name} needs --user.")
    return given.user


def _organizer(kind_name: str, given: Given) -> str:
    if given.user and given.organizer not in {None, given.user}:
        raise click.UsageError("--user and --organizer both name the organizer; give one of them.")
    organizer = given.organizer or given.user
    if not organizer and kind_name not in _ARRIVING:
        raise click.UsageError(f"--kind {kind_name} needs --organizer.")
    return organizer or ""


def _accounts(kind_name: str, given: Given) -> tuple[str, ...]:
    if given.user or given.organizer:
        raise click.UsageError(f"--kind {kind_name} is paid by an --account, not by a user.")
    if not given.accounts:
        raise click.UsageError(f"--kind {kind_name} needs --account, once for each account passed.")
    return given.accounts
