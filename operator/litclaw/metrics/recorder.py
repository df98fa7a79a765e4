"""Counters of the process: passes, and calls to LiteLLM and to Kubernetes."""

import platform

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from litclaw import __version__
from litclaw.kube.resources import BY_KIND

_CALL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_PASS_SECONDS = (*_CALL_SECONDS, 60.0, 120.0)
_KINDS = {resource.plural: resource.kind for resource in BY_KIND.values()}
_VERBS = {"PATCH": "patch", "POST": "create", "PUT": "update", "DELETE": "delete"}
_NO_ANSWER = "none"


class Recorder:
    """The counters of one process, in their own registry.

    No label has more than a handful of values, and none is a key, a hash of one, or text of a user.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # they double the series, and restarts show in process_start_time_seconds
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        build = Gauge(
            "litclaw_build_info", "The operator's release; always 1.", ["version", "python"], registry=self.registry
        )
        build.labels(__version__, platform.python_version()).set(1)
        self._passes = Counter(
            "litclaw_reconcile_total", "Passes over resources.", ["kind", "result"], registry=self.registry
        )
        self._errors = Counter(
            "litclaw_reconcile_errors_total",
            "Passes that failed, by error.",
            ["kind", "error"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "litclaw_reconcile_duration_seconds",
            "How long a pass over a resource takes.",
            ["kind"],
            buckets=_PASS_SECONDS,
            registry=self.registry,
        )
        self._litellm = Counter(
            "litclaw_litellm_requests_total",
            "Calls to LiteLLM's admin API, by HTTP status; none: no answer.",
            ["method", "path", "status"],
            registry=self.registry,
        )
        self._litellm_seconds = Histogram(
            "litclaw_litellm_request_duration_seconds",
            "How long LiteLLM's admin API takes to answer.",
            ["method", "path"],
            buckets=_CALL_SECONDS,
            registry=self.registry,
        )
        self._kube = Counter(
            "litclaw_kubernetes_requests_total",
            "Calls to the Kubernetes API without the watches, by HTTP status; none: no answer.",
            ["verb", "kind", "status"],
            registry=self.registry,
        )
        self._kube_seconds = Histogram(
            "litclaw_kubernetes_request_duration_seconds",
            "How long the Kubernetes API takes to answer.",
            ["verb", "kind"],
            buckets=_CALL_SECONDS,
            registry=self.registry,
        )

    def passed(self, kind: str, result: str, seconds: float, error: str = "") -> None:
        """A pass over a resource is done.

        Args:
            error: in one word; empty: the pass succeeded.
        """
        self._passes.labels(kind, result).inc()
        self._seconds.labels(kind).observe(seconds)
        if error:
            self._errors.labels(kind, error).inc()

    def called_litellm(self, method: str, path: str, status: int, seconds: float) -> None:
        """A call to LiteLLM is done."""
        self._litellm.labels(method, path, str(status or _NO_ANSWER)).inc()
        self._litellm_seconds.labels(method, path).observe(seconds)

    def called_kubernetes(self, method: str, path: str, status: int, seconds: float) -> None:
        """A call to the Kubernetes API is done."""
        verb, kind = _verb_and_kind(method, path)
        self._kube.labels(verb, kind, str(status or _NO_ANSWER)).inc()
        self._kube_seconds.labels(verb, kind).observe(seconds)


def _verb_and_kind(method: str, path: str) -> tuple[str, str]:
    """Verb and kind of a call, in RBAC's words; the kind is empty if the call is about none."""
    parts = path.strip("/").split("/")[2 if path.startswith("/api/") else 3 :]
    if len(parts) > 2 and parts[0] == "namespaces":
        parts = parts[2:]
    kind = _KINDS.get(parts[0], "") if parts else ""
    return _VERBS.get(method) or ("get" if len(parts) > 1 or not kind else "list"), kind
