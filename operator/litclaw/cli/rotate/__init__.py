"""``litclaw rotate``: new keys for agents."""
