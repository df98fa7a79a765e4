"""kopf: the watches that fill the cache and wake the reconcilers. Nothing is decided here."""
