"""Duties that nobody waits for. Correct money never rests on them: the ledger checks again."""
