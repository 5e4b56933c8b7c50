"""An empty Valkey for each test, and an empty archive of each kind."""

from __future__ import annotations

from archive_fixtures import archive_url, postgresql
from house_fixtures import house, valkey, watchers

__all__ = ["archive_url", "house", "postgresql", "valkey", "watchers"]
