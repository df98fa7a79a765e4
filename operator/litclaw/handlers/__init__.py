"""The process: kopf's handlers and the other watches, the leader's work, health. Nothing is decided here."""
