"""How often and how long: every wait of the reconcilers, in seconds, in one table.

Read them as attributes of this module (``intervals.ROUTE_RESYNC``): the fault campaign shortens them while it runs.
"""

# Reconciling again although nothing happened. No correctness depends on having seen an event.
AGENT_RESYNC = 600.0
ROUTE_RESYNC = 30.0
UIDS_RESYNC = 600.0
"""Comparing the cache with a list of uids: kopf doesn't report what vanished while it listed again."""
NAMESPACES_RESYNC = 30.0
"""Reading single namespaces, where no watch on all of them is allowed."""

# Reconciling again after something stood in the way. Whatever removes it enqueues the resource; this is the fallback.
AGENT_BLOCKED = 60.0
ROUTE_BLOCKED = 10.0
SECRET_BLOCKED = 10.0
NAME_TAKEN = 15.0
REFUSED = 60.0
INTERNAL_ERROR = 60.0
PROXY_RETRY = 10.0
FIRST_RETRY = 0.5
LAST_RETRY = 60.0
"""A pass that failed is retried after `FIRST_RETRY`, doubling up to `LAST_RETRY`, with jitter."""

PACE = 0.2
"""Between two passes over a resource that changes all the time."""

# One proxy.
OBSERVE = 30.0
"""Between two observations of a proxy and, at the least, between two reads of its keys."""
OBSERVE_LIMIT = 20.0
"""An observation (readiness, release, models) that takes longer counts as no answer."""
READ_KEYS_LIMIT = 600.0
"""A read of all keys that takes longer is given up."""
READ_KEYS_SHARE = 20.0
"""Keys are read for a twentieth of the time at most: a read of one second is repeated after twenty."""
READ_KEYS_FORGIVEN = 600.0
"""Half a minute of reading, above what is expected, that needs no pause of twenty times that."""
SWEEP_LIMIT = 20.0
"""A pass doesn't end orphaned keys for longer than that: a proxy may list thousands, and answer each call slowly."""
HURRY = 5.0
"""Between two reads of the keys while an old key waits for the first use of its successor."""
CLOSE_LATER = 60.0
"""A connection that no route uses any more is closed after this time, when running passes have ended."""

# Keys.
UPTAKE = 90
"""A kubelet refreshes mounted Secrets every 60 to 90 s: its sync period of 1 min, plus up to half of it as jitter."""
SETTLE = 90
"""Replicas without Redis learn of a key's end after up to 60 s, and spend is booked 10 to 15 s late (both measured)."""
NEW_KEY_REFUSED = 2.0
KEY_REVOKE_RETRY = 5.0
COUNT_KEYS = 3.0
"""A route counts its keys this long after an agent got one, so that a thousand new agents cost few status writes."""

# Deletion.
FINALIZER_LIMIT = 120.0
"""A deletion waits this long for a proxy that can't be reached."""
FINALIZER_RETRY = 5.0
FORMER_PROXY_LIMIT = 86_400.0
"""Keys at a proxy that a route has left are waited for this long: then those that can be reached end, others are given up."""
KEY_IN_CREATION = 0.5
GARBAGE_COLLECTION = 2.0

# Pods that don't run.
FIRST_LOOK = 10.0
"""A workload isn't available for that long before its pods are listed, and at least that long passes between two looks."""
LAST_LOOK = 60.0
NODE_ADDED = 300.0
"""An autoscaler adds a node within this time; a pod that fits no node for longer needs a person."""
CRASH_FORGOTTEN = 900.0
"""A container that isn't ready this long after its last crash has another problem: kubelet waits 5 min at most."""
REFUSAL_FORGOTTEN = 1200.0
"""A controller tries to create a pod again within this time, with another event where it is refused."""
OLD_POD = 5.0
"""Between two looks for pods that still know the former master key."""

# Migration of a managed route's database.
MIGRATION_REPLACED = 2.0
MIGRATION_FAILED = 30.0
MIGRATION_START_LIMIT = 300.0

# A LiteLLMKeyRotation.
RUN_RESYNC = 1.0
RUN_RESYNC_SLOW = 5.0
RUN_SHARE = 20.0
"""A pass over a rotation that takes one second is repeated after twenty."""

# The start of a process.
ROUTES_FIRST = 60.0
"""Agents wait this long for the first pass over their route."""
ROUTES_FIRST_PAUSE = 2.0
FILLED_POLL = 0.2
"""Between two comparisons of the cache with what it must have before the process may lead."""
