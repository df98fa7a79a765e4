"""What Prometheus is told. Nothing is decided here, and nothing that is decided rests on it."""
