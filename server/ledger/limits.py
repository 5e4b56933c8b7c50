"""The limits of both ledgers. `base.lua` opens with the same figures; a test compares them."""

from __future__ import annotations

# A called party may ring this long before the first report is due.
RING_LIMIT_MS = 180_000
# A report may come this long after the granted seconds.
REPORT_GRACE_MS = 30_000
# A reservation lapses this many validities after it was made.
EXPIRE_VALIDITIES = 2
# The answer to a refused call is kept this long.
REFUSAL_LIFETIME_MS = 120_000
# Where other calls draw on a purse that runs low, a grant is this part of what is left.
PLENTY = 4
# A refund to a lot that is over opens a lot of its own, which lives this long.
REFUND_LIFETIME_MS = 30 * 24 * 60 * 60 * 1_000
# When a voided lot expires: it is due whatever the clock says.
LONG_DUE_MS = 1
