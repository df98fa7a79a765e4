"""A real Prometheus on this machine, which scrapes the operator's pods through port-forwards."""

import contextlib
import math
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml

from dev.prometheus import program
from dev.promql import RULES

from .api import Object
from .kube import Kube
from .waiting import eventually

SYSTEM = "litclaw-system"
_EVERY = "2s"


class Prometheus:
    """A client for it."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=60)

    def ready(self) -> bool:
        """Whether it answers and has scraped every target."""
        try:
            targets = self._ask("/api/v1/targets")["activeTargets"]
        except (httpx.HTTPError, KeyError, ValueError):
            return False
        return bool(targets) and all(target["health"] == "up" for target in targets)

    def _ask(self, path: str, **params: Any) -> Any:
        body = self._http.get(path, params=params).json()
        assert body["status"] == "success", body
        return body["data"]

    def series(self, expression: str, *, seconds: float = 0) -> list[dict[str, Any]]:
        """The series of an expression, without NaN: now or, as for a graph, over the last seconds.

        Raises:
            AssertionError: the expression is no PromQL or can't be evaluated.
        """
        if not seconds:
            found = self._ask("/api/v1/query", query=expression)["result"]
            return [each for each in found if not math.isnan(float(each["value"][1]))]
        now = time.time()
        span = {"start": now - seconds, "end": now, "step": 1}
        found = self._ask("/api/v1/query_range", query=expression, **span)["result"]
        return [each for each in found if any(not math.isnan(float(value)) for _, value in each["values"])]

    def rules(self) -> dict[str, dict[str, Any]]:
        """Every alert rule by its name: its health, its state."""
        groups = self._ask("/api/v1/rules")["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}


@contextlib.contextmanager
def prometheus(kube: Kube, pods: list[str], folder: Path) -> Iterator[Prometheus]:
    """A Prometheus with the alert rules of `deploy/` and the labels that the prometheus-operator gives targets.

    Raises:
        RuntimeError: there is no Prometheus for this machine.
    """
    binary = program("prometheus")
    with contextlib.ExitStack() as stack:
        targets = [
            {
                "targets": [stack.enter_context(kube.forward(SYSTEM, f"pod/{pod}", 8080)).removeprefix("http://")],
                "labels": {"pod": pod, "namespace": SYSTEM, "container": "litclaw", "endpoint": "http"},
            }
            for pod in pods
        ]
        rules = folder / "rules.yaml"
        rules.write_text(yaml.safe_dump(yaml.safe_load(RULES.read_text())["spec"]))
        config = {
            "global": {"scrape_interval": _EVERY, "scrape_timeout": _EVERY, "evaluation_interval": _EVERY},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": f"{SYSTEM}/litclaw", "static_configs": targets}],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        command = [str(binary), f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}"]
        command.append("--web.listen-address=127.0.0.1:0")
        log = folder / "prometheus.log"
        with log.open("w") as printed:
            process = subprocess.Popen(command, stdout=printed, stderr=printed)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        found = Prometheus(f"http://{eventually(lambda: _address_in(log.read_text()), what='its address')}")
        eventually(found.ready, what="Prometheus scrapes every pod")
        yield found


def _address_in(log: str) -> str:
    """Host and port, as Prometheus logs them once it listens."""
    found = re.search(r"Listening on\W+address=(\S+)", log)
    assert found, log
    return found[1]


def pod_monitors() -> Object:
    """As much of the prometheus-operator's CRD as the API server needs to accept a PodMonitor."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    kinds = {"kind": "PodMonitor", "listKind": "PodMonitorList", "plural": "podmonitors", "singular": "podmonitor"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "podmonitors.monitoring.coreos.com",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {"group": "monitoring.coreos.com", "scope": "Namespaced", "names": kinds, "versions": [version]},
    }
