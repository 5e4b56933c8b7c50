"""UsageService: what was called, who paid, and what is left."""
