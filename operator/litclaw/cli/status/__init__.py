"""``litclaw status``: routes and agents in tables."""
