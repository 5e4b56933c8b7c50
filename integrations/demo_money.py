"""The demo's part on money: bought, recharged, declined, used up, bought again; and its mails."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
from google.protobuf.duration_pb2 import Duration

from callgate.command import words
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
        return MoneyStory(*stubs, box, show).play(number)


@dataclass(slots=True)
class MoneyStory:
    """Plays the scenes one after the other."""

    credits: CreditServiceStub
    calls: AuthorizationServiceStub
    box: Mailbox
    show: Show
    # What was not as expected.
    wrong: list[str] = field(default_factory=list)
    # Subjects of the mails that were shown.
    read: list[str] = field(default_factory=list)

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
        self.show(f"    {TENANT} buys {amount} {CURRENCY}")
        self.credits.TopUp(
            credits_pb2.TopUpRequest(
                tenant_id=TENANT,
                request_id=uuid.uuid4().hex,
                amount=_money(amount),
                note="the demo",
            ),
            timeout=_ANSWER_SECONDS,
        )

    def _recharge_by(self, customer: str) -> None:
        rule = f"below 10.00 {CURRENCY}, recharge 26.00 {CURRENCY}"
        self.show(f"    {rule}, from a card that {customer}")
        self.credits.UpdateFunding(
            credits_pb2.UpdateFundingRequest(
                tenant_id=TENANT,
                auto_recharge=credits_pb2.AutoRecharge(
                    enabled=True, trigger=_money("10.00"), amount=_money("26.00")
                ),
                payment_customer=customer,
            ),
            timeout=_ANSWER_SECONDS,
        )

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
            granted.seconds == talked.seconds,
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
        self._expect(f"{CALLER} calls toll-free {TOLL_FREE}{again}: {outcome}", outcome == expected)

    def _expect_balance(self, amount: str) -> None:
        answer = self.credits.GetBalance(
            credits_pb2.GetBalanceRequest(tenant_id=TENANT), timeout=_ANSWER_SECONDS
        )
        held = answer.reserved.micros
        spare = answer.balance.micros
        self._expect(
            f"balance {words.money(answer.balance)}, {words.money(answer.reserved)} of it held",
            spare == _money(amount).micros and held <= spare,
        )

    def _expect_mail(self, word: str) -> None:
        """Wait for the next mail, show it, and look for a word in its subject."""
        come = len(self.read) + 1
        if not self.box.wait_for(come, _MAIL_SECONDS):
            self._expect(f"no mail within {_MAIL_SECONDS:.0f} s", False)
            return
        mail = self.box.mails[come - 1]
        self.read.append(mail["Subject"])
        self.show(f"      mail to {mail['To']}: {mail['Subject']}")
        for line in text_of(mail).split("\n-- ")[0].strip().splitlines():
            self.show(f"        | {line}".rstrip())
        self._expect("", word in mail["Subject"])

    def _expect(self, told: str, right: bool) -> None:
        if told:
            self.show(f"      {told}")
        if not right:
            self.wrong.append(told or f"the mail: {self.read[-1]}")


def _money(amount: str) -> Money:
    units, _, cents = amount.partition(".")
    return Money(micros=(int(units) * 100 + int(cents)) * _CENT, currency_code=CURRENCY)
