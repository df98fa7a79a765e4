"""Run the fault campaign: docs/design/faults.md.

Usage: make chaos [CASE=…] [ARGS=…]    (ARGS=--help lists them; CLUSTER as in dev/cluster.py, by default litclaw-chaos)
"""

from .campaign import app

app()
