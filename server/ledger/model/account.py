"""The reference model's accounts: sums of money, lots, tallies of pools and of spending."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from policy.rating import MAX_WHOLE_NUMBER
from server.ledger.rooms import Tally

# What an account may be funded with over its life, in micros.
MOST_FUNDED = 10**18


@dataclass(slots=True)
class Lot:
    """One purchase of credits; money leaves the oldest first."""

    lot_id: str
    expire_ms: int
    bought_ms: int
    left_micros: int
    voided: bool = False


@dataclass(slots=True)
class Account:
    """One tenant's money. `available_micros` is None until it is first funded."""

    tenant_id: str
    currency: str
    digest: str
    prepaid: bool
    version: int = 1
    frozen: bool = False
    credit_limit_micros: int = 0
    available_micros: int | None = None
    reserved_micros: int = 0
    post_paid_micros: int = 0
    funded_micros: int = 0
    debited_micros: int = 0
    refunded_micros: int = 0
    expired_micros: int = 0
    voided_micros: int = 0
    owed_micros: int = 0
    lots: dict[str, Lot] = field(default_factory=dict)
    # Id of each top-up, debit and refund that was applied -> what it was.
    known: dict[str, tuple[str, ...]] = field(default_factory=dict)
    # Kind of a setting -> when the last one was asked for.
    asked_ms: dict[str, int] = field(default_factory=dict)
    tallies: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    running: Counter[str] = field(default_factory=Counter)

    @property
    def balance_micros(self) -> int:
        """What is not spent yet."""
        return (self.available_micros or 0) + self.reserved_micros

    def has_space(self, micros: int) -> bool:
        """Say whether it can hold so much more, now and over its life."""
        holds = self.balance_micros + micros <= MAX_WHOLE_NUMBER
        return holds and self.funded_micros + micros < MOST_FUNDED

    def oldest_lots(self) -> list[Lot]:
        """List the lots that have something, in the order in which money leaves them."""
        lots = (lot for lot in self.lots.values() if lot.left_micros > 0)
        return sorted(lots, key=lambda lot: (lot.expire_ms, lot.bought_ms, lot.lot_id))

    def take_from_due_lots(self, now_ms: int) -> bool:
        """Take from due lots what no running call holds; say whether anything was taken."""
        taken = False
        for lot in self.oldest_lots():
            micros = min(lot.left_micros, max(0, self.available_micros or 0))
            if lot.expire_ms > now_ms or micros == 0:
                continue
            lot.left_micros -= micros
            self.available_micros = (self.available_micros or 0) - micros
            if lot.voided:
                self.voided_micros += micros
            else:
                self.expired_micros += micros
            taken = True
        return taken

    def pay_from_lots(self, micros: int) -> None:
        """Take debited money out of the lots; what none of them has is owed to the next one."""
        for lot in self.oldest_lots():
            part = min(lot.left_micros, micros)
            lot.left_micros -= part
            micros -= part
        self.owed_micros += micros

    def add_lot(self, lot: Lot) -> None:
        """Fund the account; what is owed is paid out of the new lot at once."""
        micros, lot.left_micros = lot.left_micros, 0
        self.available_micros = (self.available_micros or 0) + micros
        self.funded_micros += micros
        self.lots[lot.lot_id] = lot
        self.fill_lot(lot, micros)

    def fill_lot(self, lot: Lot, micros: int) -> None:
        """Put money into a lot for later debits, less what is owed already."""
        owed = min(self.owed_micros, micros)
        self.owed_micros -= owed
        lot.left_micros += micros - owed
