"""What a test expects of an engine, said so that a failure tells what was there instead."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import grpc

from callgate.testing.recording import RECORDING_FILE, Recorded, read_recording
from callgate.v1 import debits_pb2
from callgate.v1.credits_pb2 import GetBalanceRequest, GetBalanceResponse
from callgate.v1.credits_pb2_grpc import CreditServiceStub
from callgate.v1.debits_pb2_grpc import DebitServiceStub
from callgate.v1.money_pb2 import Money

# What is under way elsewhere is waited for so long.
PATIENCE_SECONDS = 2.0
_POLL_SECONDS = 0.02
_ASK_SECONDS = 10.0
_MICROS = 1_000_000
_REPORTS = ("SettleCall", "ReleaseCall")

Amount = Decimal | str | int


class Expecting:
    """Looks at an engine through its public contract and its recording."""

    def __init__(self, channel: grpc.Channel, folder: Path) -> None:
        self._debits = DebitServiceStub(channel)
        self._credits = CreditServiceStub(channel)
        self._recording = folder / RECORDING_FILE

    # --- Looking ----------------------------------------------------------------------------

    def balance(self, tenant: str) -> GetBalanceResponse:
        """Read the money of a tenant."""
        return self._credits.GetBalance(GetBalanceRequest(tenant_id=tenant), timeout=_ASK_SECONDS)

    def movements(self, tenant: str, call_id: str = "") -> list[debits_pb2.JournalEntry]:
        """Read all that moved of a tenant, or by one of its calls, the oldest first."""
        question = debits_pb2.WatchDebitsRequest(
            tenant_id=tenant, call_id=call_id, from_beginning=True
        )
        stream = self._debits.WatchDebits(question, timeout=_ASK_SECONDS)
        entries: list[debits_pb2.JournalEntry] = []
        try:
            for response in stream:
                entries += response.entries
                if response.HasField("account"):
                    return entries
        finally:
            stream.cancel()
        return entries

    def asked(self, call_id: str = "", *methods: str) -> list[Recorded]:
        """List what was asked of the engine so far: all, or about one call, or by some RPCs."""
        recorded = read_recording(self._recording)
        return [
            one
            for one in recorded
            if (not call_id or one.question.get("call_id") == call_id)
            and (not methods or one.method in methods)
        ]

    # --- Expecting --------------------------------------------------------------------------

    def expect_balance(
        self, tenant: str, *, available: Amount | None = None, reserved: Amount | None = None
    ) -> None:
        """Expect the money of a tenant, such as `available="49.80", reserved=0`."""
        wanted = {"available": available, "reserved": reserved}

        def look() -> str:
            there = self.balance(tenant)
            return _differences(
                {
                    name: (_micros(amount), getattr(there, name))
                    for name, amount in wanted.items()
                    if amount is not None
                }
            )

        _wait_for(look, f"the balance of {tenant}")

    def expect_debit(self, tenant: str, call_id: str, amount: Amount) -> None:
        """Expect that a call was debited so much by now, all purses and reports together."""

        def look() -> str:
            entries = self.movements(tenant, call_id)
            micros = sum(move.debited.micros for entry in entries for move in entry.movements)
            if micros == _micros(amount):
                return ""
            return f"it was debited {_words(micros)} in {len(entries)} entries, not {amount}"

        _wait_for(look, f"the debits of {call_id}")

    def expect_nothing_reserved(self, tenant: str) -> None:
        """Expect that no running call holds any money of a tenant."""
        self.expect_balance(tenant, reserved=0)

    def expect_one_settlement(self, call_id: str) -> None:
        """Expect that a call was ended once: asked again only unchanged, with its sequence."""
        ends = {
            (one.method, str(one.question.get("sequence")), str(one.question.get("used_duration")))
            for one in self.asked(call_id, *_REPORTS)
        }
        told = ", ".join(
            f"{method} {sequence} of {used}" for method, sequence, used in sorted(ends)
        )
        if len(ends) != 1:
            raise AssertionError(
                f"{call_id} was to be ended once; it was ended {len(ends)} times: {told or 'never'}"
            )

    def expect_granted(self, call_id: str, seconds: int | None = None) -> None:
        """Expect that the last question about a call got time, and how much since its answer."""
        answer = self._last_decision(call_id)
        granted = answer.get("grant", {}).get("granted_duration", "none")
        if granted == "none" or (seconds is not None and granted != f"{seconds}s"):
            wanted = "time" if seconds is None else f"{seconds}s"
            raise AssertionError(f"{call_id} was to get {wanted}; it got {_outcome(answer)}")

    def expect_refused(self, call_id: str, reason: str) -> None:
        """Expect that the last question about a call was refused for this reason."""
        answer = self._last_decision(call_id)
        if answer.get("refusal", {}).get("reason") != f"REASON_{reason}":
            raise AssertionError(
                f"{call_id} was to be refused, {reason}; it got {_outcome(answer)}"
            )

    def _last_decision(self, call_id: str) -> dict[str, dict[str, str]]:
        decisions = self.asked(call_id, "AuthorizeCall", "ExtendCall")
        if not decisions:
            raise AssertionError(f"nobody asked for {call_id}")
        last = decisions[-1]
        if last.error:
            raise AssertionError(f"{call_id} was not answered: {last.error}")
        return last.answer


def _wait_for(look: Callable[[], str], what: str) -> None:
    """Look until nothing differs any more; what is under way has so much time."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        differs = look()
        if not differs:
            return
        if time.monotonic() > until:
            raise AssertionError(f"{what} is not as expected: {differs}")
        time.sleep(_POLL_SECONDS)


def _differences(figures: dict[str, tuple[int, Money]]) -> str:
    wrong: Sequence[str] = [
        f"{name} is {_words(there.micros)}, not {_words(wanted)}"
        for name, (wanted, there) in figures.items()
        if there.micros != wanted
    ]
    return "; ".join(wrong)


def _micros(amount: Amount) -> int:
    return int(Decimal(amount) * _MICROS)


def _words(micros: int) -> str:
    return f"{Decimal(micros) / _MICROS:f}"


def _outcome(answer: dict[str, dict[str, str]]) -> str:
    if "grant" in answer:
        return f"{answer['grant'].get('granted_duration', 'time without an end')}"
    return f"a refusal, {answer.get('refusal', {}).get('reason', 'without a reason')}"
