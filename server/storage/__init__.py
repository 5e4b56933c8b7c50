"""The two ways to data: Redis and SQL."""
