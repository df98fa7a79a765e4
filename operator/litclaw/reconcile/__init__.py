"""Decisions: one idempotent reconcile per kind, which compares what is with what should be, whatever woke it."""
