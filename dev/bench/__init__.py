"""Costs and speed of the operator, beside the limits of the machine in the same run (docs/benchmarks.md)."""
