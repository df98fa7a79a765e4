"""The fault campaign: the operator in a world with injected faults. docs/design/faults.md describes it."""
