"""Decision records in the archive: carried there by a keeper, found again, dropped day by day."""
