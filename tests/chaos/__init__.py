"""The fault campaign: the operator in a world that fails it on purpose. docs/design/faults.md says how."""
