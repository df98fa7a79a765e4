"""What both HTTP clients share: kinds of addresses, request hooks, backoff."""
