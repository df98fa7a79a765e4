"""Tools for working on Litclaw: a cluster, the demo, the benchmarks."""
