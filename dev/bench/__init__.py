"""What the operator costs and how fast it is, beside what the machine allows in the same run (docs/benchmarks.md)."""
