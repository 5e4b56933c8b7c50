"""The two ways to data: Redis (connections, the lane, the clock, an embedded store) and SQL."""
