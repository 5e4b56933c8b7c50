"""Saved reports, sent once a period, and months that are closed."""
