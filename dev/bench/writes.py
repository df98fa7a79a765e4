"""Writes to the Kubernetes API, as the API server counts them."""

import re
from collections import Counter

from ..cluster import Cluster

_LINE = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_READS = ("GET", "LIST", "WATCH", "CONNECT", "PROXY", "WATCHLIST")
_OURS = (
    *("litellmroutes", "openclawagents", "litellmkeyrotations", "secrets", "configmaps", "events", "services"),
    *("deployments", "statefulsets", "jobs", "networkpolicies", "poddisruptionbudgets", "persistentvolumeclaims"),
)

Write = tuple[str, str]
"""Verb, and resource with its subresource, as the API server counts them. Every PATCH counts as an APPLY."""


def written(metrics: str) -> Counter[Write]:
    """All clients' writes to the kinds that the operator writes, since the API server's start."""
    found: Counter[Write] = Counter()
    for line in _LINE.finditer(metrics):
        labels = dict(_LABEL.findall(line[1]))
        if labels["verb"] in _READS or labels["resource"] not in _OURS:
            continue
        if labels["verb"] == "PUT" and labels["subresource"]:
            continue  # by Kubernetes' own controllers, as pods start and stop: the operator uses apply
        resource = "/".join(each for each in (labels["resource"], labels["subresource"]) if each)
        # The API server counts an apply as a PATCH if its content type has a parameter, as the operator's has.
        verb = "APPLY" if labels["verb"] == "PATCH" else labels["verb"]
        found[verb, resource] += int(float(line[2]))
    return found


class Counting:
    """Counts writes from its creation on.

    Args:
        own: the benchmark's own writes meanwhile, which aren't counted.
    """

    def __init__(self, cluster: Cluster, *own: Write) -> None:
        self._cluster = cluster
        self._own = own
        self._before = self._now()

    def done(self) -> Counter[Write]:
        """The writes so far."""
        found = self._now() - self._before
        for each in self._own:
            found.pop(each, None)
        return found

    def _now(self) -> Counter[Write]:
        return written(self._cluster.run("get", "--raw", "/metrics").stdout)
