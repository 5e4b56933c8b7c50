"""What the ledger is asked: about which call, in which sequence, and with what."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from policy.decision import ConcurrencyLimit, Purse
from policy.reasons import Reason

FINGERPRINT_VERSION = "callgate-1"
# In a context: what follows it tells of the purses, and stays with a call paid as it began.
PAYING = "\x1f\x1f"
# Stands for the decision that began a call while nobody asked the archive for it.
NOT_ASKED = "?"
# No grant is sliced below this, however contended its purses are.
FLOOR_SECONDS = 60


class CallKey(NamedTuple):
    """Which call: the payer's tenant, the gateway that carries it, and its own id there."""

    tenant_id: str
    gateway_id: str
    call_id: str


class Question(NamedTuple):
    """One request about a call: its place in the call's sequence and what it was asked with.

    `fingerprint` stands for the normalised content; `decision_id` names the answer if this is the
    first time it is asked (16 to 32 characters of [a-z0-9]); `facts_digest` is what it was decided
    with, empty where nothing was.
    """

    call: CallKey
    sequence: int
    fingerprint: str
    decision_id: str
    facts_digest: str


def paying_part(context: str) -> str:
    """Return a context from `PAYING` on; all of it where it has no such part of its own."""
    return context[max(0, context.find(PAYING)) :]


def paid_as_it_began(before: str, now: str) -> str:
    """Put together the context of a call asked about anew whose purses are those it began with."""
    if PAYING not in before or PAYING not in now:
        return now
    return now[: now.index(PAYING)] + paying_part(before)


def looking(call: CallKey) -> Question:
    """Ask as what is older than any question about a call: the answer is how the call stands."""
    return Question(call, 0, "-", "-", "")


class Use(NamedTuple):
    """What one purse paid of one call so far, the connection fee included."""

    purse_index: int
    seconds: int
    micros: int


class ReserveRequest(NamedTuple):
    """A question for a reservation: what the rules said of it.

    `refusal` is set where they said no; then there are no purses and only the answer is kept.
    `context` is what the answer is rendered from besides the outcome: a text that the ledger keeps
    and journals without reading it, with no control characters but one `PAYING`. From there on it
    tells of the purses, and a call that is paid as it began keeps what it began with. `explanation`
    is longer, kept only for a question that asked for it.

    `used_seconds` announces a call that already runs. Where the ledger has forgotten it, `uses` is
    what the archive says was debited for it, and `opened_id` the decision that it says began it, so
    that it stays the same call; empty where the archive knows none. With `NOT_ASKED` a call that is
    forgotten is `CallUnknown`. `last` is as in an `ExtendRequest`, of a call that is announced.
    `began_ms` is when the archive says that it was first granted; 0 where that is not known.
    """

    question: Question
    purses: tuple[Purse, ...]
    refusal: Reason | None
    want_seconds: int
    context: str
    concurrency: ConcurrencyLimit | None = None
    explanation: bytes = b""
    dry_run: bool = False
    floor_seconds: int = FLOOR_SECONDS
    used_seconds: int = 0
    uses: tuple[Use, ...] = ()
    opened_id: str = ""
    last: bool = False
    began_ms: int = 0


class ExtendRequest(NamedTuple):
    """A question for more seconds of a call; `used_seconds` counts from the answer, cumulatively.

    `want_seconds` are wanted beyond those used. `refusal` is set where the rules now say no: what
    was used is debited, the rest given back. `concurrency_limit` matters where the call had lapsed.
    `purses` and `context` are what the rules say today, as in a `ReserveRequest`: they pay from
    here on, at the rate and in the month that the call began with. Without any, what may pay stays.
    `last` where nothing more can follow for now: the grant is no longer than the floor, or what the
    call has already, and is final; after one that was final nothing is added.
    """

    question: Question
    used_seconds: int
    want_seconds: int
    refusal: Reason | None = None
    floor_seconds: int = FLOOR_SECONDS
    concurrency_limit: int | None = None
    purses: tuple[Purse, ...] = ()
    context: str = ""
    last: bool = False


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """An account as the facts describe it; opening it again changes digest and flags, never money.

    `opening_balance_micros` becomes the lot `opening:<tenant>`, once in the life of the store; None
    opens without ever funding. `prepaid` is False where there is no balance at all.
    """

    tenant_id: str
    currency: str
    facts_digest: str
    prepaid: bool
    opening_balance_micros: int | None
    # When the opening lot expires; 12 months after it was opened first by default.
    opening_expire_ms: int


@dataclass(frozen=True, slots=True)
class TopUp:
    """One purchase of credits: a lot with an id and an expiry of its own."""

    tenant_id: str
    lot_id: str
    micros: int
    expire_ms: int


@dataclass(frozen=True, slots=True)
class DirectDebit:
    """Money taken from an account without a call, as far as `overdraft_micros` below zero.

    A credit limit of the account counts if it is larger. None: not below zero at all.
    """

    tenant_id: str
    debit_id: str
    micros: int
    overdraft_micros: int | None = 0


@dataclass(frozen=True, slots=True)
class Refund:
    """Money given back for a debit, into the lot it came from.

    If that lot is over, a lot of its own is opened for it, with a short life. What was `invoiced`
    goes into none: less is invoiced then. `spend_field` names the tally of the spend limit that the
    debit counted for, where there is one. With `debit_id` it is given back only where the ledger
    knows of that debit.
    """

    tenant_id: str
    refund_id: str
    lot_id: str
    micros: int
    invoiced: bool = False
    spend_field: str = ""
    debit_id: str = ""


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Money that whoever paid for a lot got back from the payment provider."""

    tenant_id: str
    taking_id: str
    lot_id: str
    micros: int

    @property
    def apart_id(self) -> str:
        """The lot that what was found is moved to, voided, until no running call holds it."""
        return f"taken:{self.taking_id}"


def fingerprint(fields: Iterable[tuple[str, str]]) -> str:
    """Stand for the content of a question: its named, normalised fields in a fixed order.

    Two questions have one fingerprint only if all names and values are the same. 43 characters.
    """
    digest = hashlib.sha256()
    for text in (FINGERPRINT_VERSION, *chain.from_iterable(fields)):
        data = text.encode()
        # The length first, so that "a" + "bc" is not "ab" + "c".
        digest.update(b"%d:%b" % (len(data), data))
    return base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")


# A called party may ring this long before the first report is due.
RING_LIMIT_MS = 180_000
# A report may come this long after the granted seconds.
REPORT_GRACE_MS = 30_000
# A reservation lapses this many validities after it was made.
EXPIRE_VALIDITIES = 2
# The answer to a refused call is kept this long, and that of a call that is over, from when its end
# is archived on.
REFUSAL_LIFETIME_MS = 15 * 60 * 1_000
# A call of which no grant is known may have run so long.
LONGEST_UNKNOWN_SECONDS = 24 * 60 * 60
# Where other calls draw on a purse that runs low, a grant is this part of what is left.
PLENTY = 4
# A refund to a lot that is over opens a lot of its own, which lives this long.
REFUND_LIFETIME_MS = 30 * 24 * 60 * 60 * 1_000
# When a voided lot expires: it is due whatever the clock says.
LONG_DUE_MS = 1
