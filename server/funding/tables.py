"""The tables of money that comes in: how tenants fund, what was asked for, what was charged."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from server.storage.sql.metadata import METADATA

# How a tenant buys credits: its billing address, its auto-recharge, and how far that got.
FUNDING = Table(
    "funding",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    # ISO alpha-2; of the billing address (empty: that of the tenant) and of the tenant itself.
    Column("billing_country", String(2), nullable=False),
    Column("country", String(2), nullable=False),
    # Why purchases go through although the two differ; empty where they do not.
    Column("region_override", String(256), nullable=False),
    # Absent: the engine's own limit counts.
    Column("max_balance_micros", BigInteger),
    Column("closed", Boolean, nullable=False),
    # How the payment provider knows whom to charge.
    Column("payment_customer", String(255), nullable=False),
    Column("recharge_enabled", Boolean, nullable=False),
    Column("trigger_micros", BigInteger, nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    # The most that a calendar month of the tenant's zone is recharged; absent: only the burst's.
    Column("monthly_limit_micros", BigInteger),
    # Whether the balance was seen at or above the trigger since the last crossing.
    Column("armed", Boolean, nullable=False),
    # Crossings so far; one more begins with each first attempt to recharge.
    Column("crossing", BigInteger, nullable=False),
    # Declined attempts in a row, and until when nothing more is tried after them.
    Column("declines", Integer, nullable=False),
    Column("rest_until_ms", BigInteger, nullable=False),
    # Grows with all that may change whether to recharge, so that nobody decides on what is past.
    Column("version", BigInteger, nullable=False),
)

# What callers asked to move, each once by an id of theirs; written before the ledger is asked.
FUNDING_REQUESTS = Table(
    "funding_requests",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    Column("request_id", String(64), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    # JSON: all that the ledger is to be asked, settled when the request was accepted.
    Column("body", Text, nullable=False),
    # accepted, applied or refused.
    Column("state", String(16), nullable=False),
    # JSON: what was answered; empty while it is accepted.
    Column("outcome", Text, nullable=False),
    Column("identity_id", String(128), nullable=False),
    Column("accept_ms", BigInteger, nullable=False),
    Column("finish_ms", BigInteger, nullable=False),
    # Who works on it, and until when nobody else does.
    Column("claim", String(32), nullable=False),
    Column("claim_until_ms", BigInteger, nullable=False),
    # Whether what it moved has come back through the journal; until then a store may lose it.
    Column("archived", Boolean, nullable=False),
    # What it gives back of: the debit or the call that a refund is of.
    Column("reference", String(192), nullable=False),
    Index("ix_funding_requests_archived", "archived", "state"),
    Index("ix_funding_requests_reference", "tenant_id", "reference"),
)

# Attempts to take money from a tenant's means of payment; the id is the provider's idempotency key.
CHARGES = Table(
    "charges",
    METADATA,
    Column("charge_id", String(64), primary_key=True),
    Column("tenant_id", String(128), nullable=False),
    # "recharge", or "top_up" where a caller asked for it.
    Column("purpose", String(16), nullable=False),
    # Which crossing of the trigger, and the how manyeth attempt; both absent for a top-up.
    Column("crossing", BigInteger),
    Column("attempt", Integer),
    # intent, charging, charged, credited; declined, refused, unresolved.
    Column("state", String(16), nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("payment_customer", String(255), nullable=False),
    Column("expire_ms", BigInteger, nullable=False),
    Column("provider_reference", String(255), nullable=False),
    # Why it was declined or refused.
    Column("reason", String(64), nullable=False),
    Column("detail", String(255), nullable=False),
    # How often the provider was asked, and before when nobody asks it again.
    Column("tries", Integer, nullable=False),
    Column("next_try_ms", BigInteger, nullable=False),
    Column("create_ms", BigInteger, nullable=False),
    Column("finish_ms", BigInteger, nullable=False),
    Column("archived", Boolean, nullable=False),
    # What the provider took back of it so far, and what of that was spent already.
    Column("reversed_micros", BigInteger, nullable=False, server_default="0"),
    Column("shortfall_micros", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("tenant_id", "crossing", "attempt"),
    Index("ix_charges_state", "state"),
    Index("ix_charges_archived", "archived", "state"),
    Index("ix_charges_tenant_id", "tenant_id", "create_ms"),
    Index("ix_charges_reference", "provider_reference"),
)

# What providers told of money that they took back, or gave to us again; see `reversals`.
PAYMENT_REVERSALS = Table(
    "payment_reversals",
    METADATA,
    Column("event_id", String(64), primary_key=True),
    # Of which charge: by its own id, or by what the provider calls it; one of them may be empty.
    Column("charge_id", String(64), nullable=False),
    Column("provider_reference", String(255), nullable=False),
    # refunded, refund_failed, taken or given_back.
    Column("kind", String(16), nullable=False),
    # Which refund, dispute or reversal; the provider's name for it.
    Column("name", String(255), nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    # When it was so, by the provider; and when we heard of it.
    Column("time_ms", BigInteger, nullable=False),
    Column("note_ms", BigInteger, nullable=False),
    # Whether the credits are as all that was told of the charge says.
    Column("settled", Boolean, nullable=False),
    Index("ix_payment_reversals_charge_id", "charge_id"),
    Index("ix_payment_reversals_reference", "provider_reference"),
    Index("ix_payment_reversals_settled", "settled", "note_ms"),
)
