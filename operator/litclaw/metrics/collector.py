"""Metrics that are read from the cache at each scrape: a deleted resource has none."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from litclaw.kube.cache import Cache
from litclaw.kube.objects import condition_of, route_key_of
from litclaw.kube.resources import AGENT, NAMESPACE, OWNED_KINDS, ROTATION, ROUTE
from litclaw.reconcile.context import Context
from litclaw.reconcile.core.conditions import ConditionType
from litclaw.reconcile.core.queue import Request, WorkQueue
from litclaw.reconcile.route.sweep import sweeps

_OURS = (ROUTE.kind, AGENT.kind, ROTATION.kind)
_AGENT = ("agent_namespace", "agent")
_ROUTE = ("route_namespace", "route")
_RESOURCE = ("kind", "resource_namespace", "resource")


@dataclass(frozen=True, slots=True)
class Work:
    """The state of a process that reconciles."""

    context: Context
    queue: WorkQueue[Request]


class StateCollector(Collector):
    """The state of the process and, where it leads, of the resources.

    A process that stands by has no metrics of resources, so that a sum over all processes is right.

    Args:
        work: the state of the process; None: it stands by.
    """

    def __init__(self, cache: Cache, work: Callable[[], Work | None]) -> None:
        self._cache = cache
        self._work = work

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """No names: a registry needn't check them."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One scrape."""
        work = self._work()
        leader = GaugeMetricFamily("litclaw_leader", "Whether this process reconciles: 1, or 0 where it stands by.")
        leader.add_metric([], 1 if work else 0)
        yield leader
        yield self._cached()
        if work:
            yield from _queue(work.queue)
            yield from self._resources()
            yield from self._agents()
            yield from self._rotations()
            yield self._keys(work.context)

    def _cached(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily("litclaw_cache_objects", "Objects that the process holds.", labels=["kind"])
        for resource in (ROUTE, AGENT, ROTATION, NAMESPACE, *OWNED_KINDS):
            family.add_metric([resource.kind], sum(1 for _ in self._cache.all(resource.kind)))
        return family

    def _resources(self) -> Iterator[GaugeMetricFamily]:
        ready = GaugeMetricFamily("litclaw_resource_ready", "Whether a resource is ready.", labels=_RESOURCE)
        stalled = GaugeMetricFamily(
            "litclaw_resource_stalled", "1 for a resource that needs a person to act.", labels=[*_RESOURCE, "reason"]
        )
        for kind in _OURS:
            for body in self._cache.all(kind):
                labels = [kind, body["metadata"].get("namespace", ""), body["metadata"]["name"]]
                ready.add_metric(labels, condition_of(body, ConditionType.READY).get("status") == "True")
                found = condition_of(body, ConditionType.STALLED)
                if found.get("status") == "True":
                    stalled.add_metric([*labels, str(found.get("reason"))], 1)
        yield ready
        yield stalled

    def _agents(self) -> Iterator[GaugeMetricFamily]:
        spend = GaugeMetricFamily(
            "litclaw_agent_spend_usd", "What an agent has spent in its budget's period.", labels=[*_AGENT, *_ROUTE]
        )
        budget = GaugeMetricFamily(
            "litclaw_agent_budget_usd", "What an agent may spend in a period.", labels=[*_AGENT, *_ROUTE]
        )
        created = GaugeMetricFamily(
            "litclaw_agent_key_created_timestamp_seconds", "When an agent's key was made.", labels=[*_AGENT, *_ROUTE]
        )
        for body in self._cache.all(AGENT.kind):
            meta, status = body["metadata"], body.get("status") or {}
            labels = [meta["namespace"], meta["name"], *route_key_of(body)]
            # Anybody with the right may write a status: a value that is no number must not cost all other metrics.
            with suppress(ValueError, TypeError):
                spend.add_metric(labels, float(status["spend"])) if status.get("spend") else None
            with suppress(ValueError, TypeError):
                budget.add_metric(labels, float(status["budget"])) if status.get("budget") else None
            with suppress(ValueError, TypeError):
                made = (status.get("key") or {}).get("rotatedAt")
                created.add_metric(labels, datetime.fromisoformat(made).timestamp()) if made else None
        yield from (spend, budget, created)

    def _rotations(self) -> Iterator[GaugeMetricFamily]:
        keys = GaugeMetricFamily(
            "litclaw_rotation_keys", "Keys of a rotation: total, rotated, failed.", labels=["rotation", "state"]
        )
        completed = GaugeMetricFamily(
            "litclaw_rotation_completed_timestamp_seconds", "When a rotation ended.", labels=["rotation"]
        )
        for body in self._cache.all(ROTATION.kind):
            name, status = body["metadata"]["name"], body.get("status") or {}
            for what in ("total", "rotated", "failed"):
                keys.add_metric([name, what], status.get(what) or 0)
            with suppress(ValueError, TypeError):
                ended = status.get("completedAt")
                completed.add_metric([name], datetime.fromisoformat(ended).timestamp()) if ended else None
        yield from (keys, completed)

    def _keys(self, context: Context) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "litclaw_route_keys",
            "Virtual keys of this cluster at a route's proxy: live, retiring (they have an end), orphaned "
            "(no agent owns them, and none may adopt them), retained (they have outlived their agent). The last two "
            "count at one of the routes to a proxy.",
            labels=[*_ROUTE, "state"],
        )
        living = context.agents()
        for key, connection in context.routes.items():
            session = connection.session
            if not session.keys_read:
                continue
            live, retiring = session.table.count(body["metadata"]["uid"] for body in context.agents_of(key))
            counts = {"live": live, "retiring": retiring, "orphaned": 0, "retained": 0}
            if sweeps(context, key):
                counts["orphaned"] = len(session.table.orphaned(living))
                counts["retained"] = len(session.table.retained(living))
            for state, count in counts.items():
                family.add_metric([*key, state], count)
        return family


def _queue(queue: WorkQueue[Request]) -> Iterator[GaugeMetricFamily]:
    for name, text, keys in (
        ("depth", "Resources that wait for a worker.", queue.waiting),
        ("retrying", "Resources whose last pass failed, and that are tried again.", queue.failing),
    ):
        family = GaugeMetricFamily(f"litclaw_queue_{name}", text, labels=["kind"])
        counts = Counter(kind for kind, _, _ in keys)
        for kind in _OURS:
            family.add_metric([kind], counts[kind])
        yield family
    for name, text, value in (
        ("longest_waiting_seconds", "For how long the oldest that waits has waited.", queue.longest_waiting),
        ("longest_working_seconds", "For how long the oldest pass at work has run.", queue.longest_working),
    ):
        family = GaugeMetricFamily(f"litclaw_queue_{name}", text)
        family.add_metric([], value)
        yield family
