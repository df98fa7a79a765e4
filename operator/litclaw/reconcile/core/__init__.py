"""What every reconciler uses: queue, conditions, status, events, finalizer, owned objects."""
