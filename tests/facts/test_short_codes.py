"""Short codes and the operator's own tables, as an engine would decide by them."""

from __future__ import annotations
