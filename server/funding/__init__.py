"""Money in and out of accounts: asked for once, written down first, then moved in the ledger.

It knows archive, ledger and payments, and no wire. See docs/credits.md.
"""
