"""One session per LiteLLM proxy: client, clock, key table and refresh; and what a route offers of it."""
