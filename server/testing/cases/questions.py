"""From the words of a case to questions of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from callgate.v1 import authorization_pb2 as pb
from policy.facts import CallKind
from server.testing.cases.files import CallWords, EndWords, ReleaseWords, ReportWords

Report = TypeVar("Report", pb.ExtendCallRequest, pb.SettleCallRequest, pb.ReleaseCallRequest)

_USER, _ORGANIZER, _ACCOUNTS = "user_id", "organizer_id", "resource_account_ids"
# The field of the question, and the field in it that names the account.
_KINDS: Mapping[CallKind, tuple[str, str]] = {
    CallKind.USER: ("user_call", _USER),
    CallKind.FORWARDED: ("forwarded_call", _USER),
    CallKind.TRANSFERRED: ("transferred_call", _USER),
    CallKind.ADDED_PARTY: ("added_party_call", _USER),
    CallKind.MEETING_DIAL_OUT: ("meeting_dial_out", _ORGANIZER),
    CallKind.CALL_ME: ("call_me", _ORGANIZER),
    CallKind.SERVICE_NUMBER: ("service_number_call", _ORGANIZER),
    CallKind.ATTENDANT_TRANSFER: ("attendant_transfer", _ACCOUNTS),
    CallKind.QUEUE_TRANSFER: ("queue_transfer", _ACCOUNTS),
    CallKind.INBOUND: ("inbound_call", _USER),
}


@dataclass(slots=True)
class Questions:
    """Writes the questions of one case; `prefix` keeps its calls apart from those of others."""

    tenant_id: str
    prefix: str
    _sequences: dict[str, int] = field(default_factory=dict)

    def authorize(self, words: CallWords) -> pb.AuthorizeCallRequest:
        """Ask for a call, with every check told."""
        question = pb.AuthorizeCallRequest(
            tenant_id=self.tenant_id,
            gateway_id=words.gateway,
            call_id=self._call_id(words.call),
            sequence=self._next(words.call),
            called_number=words.to,
            calling_number=words.from_,
            location=words.location,
            dry_run=words.dry_run,
            explain=True,
        )
        if words.seconds is not None:
            question.requested_duration.seconds = words.seconds
        _set_kind(question, words)
        return question

    def extend(self, words: ReportWords) -> pb.ExtendCallRequest:
        """Report use, and ask for more."""
        question = self._about(pb.ExtendCallRequest(), words)
        question.used_duration.seconds = words.used
        if words.seconds is not None:
            question.requested_duration.seconds = words.seconds
        return question

    def settle(self, words: EndWords) -> pb.SettleCallRequest:
        """Report the end."""
        question = self._about(pb.SettleCallRequest(), words)
        question.used_duration.seconds = words.used
        return question

    def release(self, words: ReleaseWords) -> pb.ReleaseCallRequest:
        """Report that nobody answered."""
        return self._about(pb.ReleaseCallRequest(), words)

    def _about(self, report: Report, words: ReportWords | EndWords | ReleaseWords) -> Report:
        report.tenant_id = self.tenant_id
        report.gateway_id = words.gateway
        report.call_id = self._call_id(words.call)
        report.sequence = self._next(words.call)
        return report

    def _call_id(self, call: str) -> str:
        return f"{self.prefix}{call}"

    def _next(self, call: str) -> int:
        self._sequences[call] = self._sequences.get(call, 0) + 1
        return self._sequences[call]


def _set_kind(question: pb.AuthorizeCallRequest, words: CallWords) -> None:
    name, account = _KINDS[words.kind]
    if not words.by and words.kind is CallKind.USER:
        return  # Enough for an emergency number; for others the engine asks for the kind.
    kind = getattr(question, name)
    kind.SetInParent()
    accounts = [words.by] if isinstance(words.by, str) else words.by
    if account == _ACCOUNTS:
        kind.resource_account_ids.extend(accounts)
    elif accounts and accounts[0]:
        setattr(kind, account, accounts[0])
    if words.kind is CallKind.INBOUND:
        kind.emergency_callback = words.emergency_callback
