"""Run the fault campaign: docs/design/faults.md.

Usage: make chaos [CASE=…] [ARGS=…]    (ARGS=--help tells which; CLUSTER as in dev/cluster.py; default litclaw-chaos)
"""

from .campaign import app

app()
