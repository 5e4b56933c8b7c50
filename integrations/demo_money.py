"""The demo's part on money: bought, recharged, declined, used up, bought again; and its mails."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
from click.testing import CliRunner
from google.protobuf.duration_pb2 import Duration

from callgate.command import words
from callgate.command.commands import callgate
from callgate.v1 import authorization_pb2 as pb
from callgate.v1 import credits_pb2
from callgate.v1.authorization_pb2_grpc import AuthorizationServiceStub
from callgate.v1.credits_pb2_grpc import CreditServiceStub
from callgate.v1.money_pb2 import Money
from integrations.mailbox import Mailbox, text_of

TENANT, USER, CURRENCY = "fabrikam", "gina", "EUR"
SATELLITE, MADAGASCAR = "+881612345678", "+261202212345"
TOLL_FREE, CALLER = "+39800555010", "+390612345678"
GATEWAY = "demo-sbc"
_ANSWER_SECONDS = 5.0
# A recharge waits for the keeper's next round, a second away at the most, and then for its mail.
_MAIL_SECONDS = 20.0
_CENT = 10_000

Show = Callable[[str], None]


def play_money(address: str, box: Mailbox, show: Show, *, number: int) -> list[str]:
    """Play the scenes from `number` on; return what was not as expected."""
    with grpc.insecure_channel(address) as channel:
        stubs = CreditServiceStub(channel), AuthorizationServiceStub(channel)
        return MoneyStory(address, *stubs, box, show).play(number)


@dataclass(slots=True)
class MoneyStory:
    """Plays the scenes one after the other."""

    address: str
    credits: CreditServiceStub
    calls: AuthorizationServiceStub
    box: Mailbox
    show: Show
    # What was not as expected.
    wrong: list[str] = field(default_factory=list)
    # How many mails were shown.
    read: int = 0

    def play(self, number: int) -> list[str]:
        """Play all of it, and return what was not as expected."""
        for place, (title, scene) in enumerate(self._scenes(), number):
            self.show(f"\n{place:2}. {title}")
            scene()
        return self.wrong

    def _scenes(self) -> list[tuple[str, Callable[[], None]]]:
        return [
            ("Fabrikam buys credits, and lets them recharge by themselves", self._fund),
            ("Calls until the balance is below the trigger: recharged, once", self._recharge),
            ("The card is declined: told, tried again in an hour, calls go on", self._decline),
            ("The credits are used up: told, and toll-free stops", self._drain),
            ("Topped up: the caller who waits goes on", self._top_up),
        ]

    def _fund(self) -> None:
        self._buy("20.00")
        self._recharge_by("pays")
        self._expect_balance("20.00")

    def _recharge(self) -> None:
        self._talk(SATELLITE, 2)
        self._expect_mail("ricaricati")
        self._expect_balance("31.28")

    def _decline(self) -> None:
        self._recharge_by("declines")
        self._talk(SATELLITE, 4)
        self._expect_mail("non riuscita")
        self._expect_balance("2.76")

    def _drain(self) -> None:
        self._talk(MADAGASCAR, 4)
        self._expect_mail("zero")
        self._expect_balance("0.00")
        self._call_in(1, "refused: toll free needs credit")

    def _top_up(self) -> None:
        self._buy("20.00")
        self._call_in(2, "granted")
        self._expect_balance("20.00")

    def _buy(self, amount: str) -> None:
        self._type(f"top-up --tenant {TENANT} --amount {amount} --yes")

    def _recharge_by(self, customer: str) -> None:
        rule = f"--on --trigger 10.00 --amount 26.00 --customer {customer}"
        self._type(f"recharge --tenant {TENANT} {rule} --yes")

    def _type(self, typed: str) -> None:
        """Type a command, and show what it prints."""
        self.show(f"    $ callgate {typed}")
        given = [*shlex.split(typed), "--address", self.address]
        ended = CliRunner().invoke(callgate, given)
        for line in ended.output.splitlines():
            self.show(f"      {line}".rstrip())
        if ended.exit_code:
            self.wrong.append(f"{typed}\n    ended with status {ended.exit_code}")

    def _talk(self, number: str, minutes: int) -> None:
        """Let the user call somebody and talk for so long, as the engine is told by a gateway."""
        call_id, talked = uuid.uuid4().hex, Duration(seconds=60 * minutes)
        answer = self.calls.AuthorizeCall(
            pb.AuthorizeCallRequest(
                tenant_id=TENANT,
                gateway_id=GATEWAY,
                call_id=call_id,
                sequence=1,
                called_number=number,
                requested_duration=talked,
                user_call=pb.UserCall(user_id=USER),
            ),
            timeout=_ANSWER_SECONDS,
        )
        granted = answer.grant.granted_duration
        self._expect(
            f"{USER} calls {number}: granted {words.minutes(granted)}",
            right=granted.seconds == talked.seconds,
        )
        settled = self.calls.SettleCall(
            pb.SettleCallRequest(
                tenant_id=TENANT,
                gateway_id=GATEWAY,
                call_id=call_id,
                sequence=2,
                used_duration=talked,
            ),
            timeout=_ANSWER_SECONDS,
        )
        paid = " and ".join(words.money(usage.debited) for usage in settled.usages)
        self.show(f"      and talks as long: {paid}")

    def _call_in(self, sequence: int, expected: str) -> None:
        """Let somebody call the toll-free number, or ask once more for the call that waits."""
        answer = self.calls.AuthorizeCall(
            pb.AuthorizeCallRequest(
                gateway_id=GATEWAY,
                call_id="demo-waiting",
                sequence=sequence,
                calling_number=CALLER,
                called_number=TOLL_FREE,
                requested_duration=Duration(seconds=60),
                service_number_call=pb.ServiceNumberCall(),
            ),
            timeout=_ANSWER_SECONDS,
        )
        refused = answer.HasField("refusal")
        outcome = f"refused: {words.reason(answer.refusal.reason)}" if refused else "granted"
        again = ", asked again" if sequence > 1 else ""
        self._expect(
            f"{CALLER} calls toll-free {TOLL_FREE}{again}: {outcome}", right=outcome == expected
        )

    def _expect_balance(self, amount: str) -> None:
        answer = self.credits.GetBalance(
            credits_pb2.GetBalanceRequest(tenant_id=TENANT), timeout=_ANSWER_SECONDS
        )
        balance = answer.balance
        self._expect(
            f"balance {words.money(balance)}, {words.money(answer.reserved)} of it held",
            right=balance.micros == _money(amount).micros,
        )

    def _expect_mail(self, word: str) -> None:
        """Wait for the next mail, show it, and look for a word in its subject."""
        come = self.read + 1
        if not self.box.wait_for(come, _MAIL_SECONDS):
            self._expect(f"no mail within {_MAIL_SECONDS:.0f} s", right=False)
            return
        mail = self.box.mails[come - 1]
        self.read = come
        self.show(f"      mail to {mail['To']}: {mail['Subject']}")
        for line in text_of(mail).split("\n-- ")[0].strip().splitlines():
            self.show(f"        | {line}".rstrip())
        if word not in mail["Subject"]:
            self.wrong.append(f"the mail {mail['Subject']!r}: expected one with {word!r}")

    def _expect(self, told: str, *, right: bool) -> None:
        """Show what is so, and note it where it is wrong."""
        self.show(f"      {told}")
        if not right:
            self.wrong.append(told)


def _money(amount: str) -> Money:
    units, _, cents = amount.partition(".")
    return Money(micros=(int(units) * 100 + int(cents)) * _CENT, currency_code=CURRENCY)
