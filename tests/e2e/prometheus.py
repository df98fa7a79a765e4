"""A real Prometheus on this machine that scrapes the operator's pods, each through a port-forward."""

import contextlib
import math
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml

from dev.prometheus import program
from dev.promql import RULES

from .support import Kube, eventually

SYSTEM = "litclaw-system"
_EVERY = "2s"


class Prometheus:
    """What it answers."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=30)

    def ready(self) -> bool:
        """Whether it answers, and has scraped every target."""
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
        """What an expression gives now or, as a graph has it, over the last seconds; without what is no number.

        Raises:
            AssertionError: it is no PromQL, or can't be evaluated.
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
    """A Prometheus with the alert rules of `deploy/`, labelling what it scrapes as the prometheus-operator does.

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
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [str(binary), f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
        with (folder / "prometheus.log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        found = Prometheus(f"http://127.0.0.1:{port}")
        eventually(found.ready, timeout=60, what=(folder / "prometheus.log").read_text() or "Prometheus scrapes")
        yield found
