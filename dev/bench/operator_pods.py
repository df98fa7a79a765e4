"""The operator as it is installed: its pods, and scripts that run in them."""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

from ..cluster import DEPLOYMENT, NAMESPACE, Cluster

PYTHON = "/opt/litclaw/bin/python"
_MEMORY = "{.spec.template.spec.containers[0].resources.limits.memory}"
_LEADER_SECONDS = 900  # a start with many agents may be slow, and its duration is the measured value


class Operator:
    """The operator's Deployment."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        deployment = json.loads(self._run("get", DEPLOYMENT, "-o", "json").stdout)
        self.replicas = int(deployment["spec"]["replicas"]) or 2
        self.image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]

    def _run(self, *args: str, **given: Any) -> Any:
        return self._cluster.run("-n", NAMESPACE, *args, **given)

    def pods(self) -> list[str]:
        """The names of its running pods, without terminating ones."""
        found = self._run("get", "pods", "-l", "app.kubernetes.io/name=litclaw", "-o", "json").stdout
        running = [each for each in json.loads(found)["items"] if each["status"].get("phase") == "Running"]
        return [each["metadata"]["name"] for each in running if "deletionTimestamp" not in each["metadata"]]

    def leader(self) -> str:
        """The leading pod; empty: none."""
        done = self._run("get", "lease", "litclaw", "-o", "jsonpath={.spec.holderIdentity}", check=False)
        holder = str(done.stdout.partition("_")[0])
        return holder if holder in self.pods() else ""

    def stop(self) -> None:
        """Scale it to zero, and wait until its pods are gone."""
        self._run("scale", DEPLOYMENT, "--replicas=0")
        self._run("wait", "pods", "-l", "app.kubernetes.io/name=litclaw", "--for=delete", "--timeout=60s")

    def start(self) -> str:
        """Scale it up again; returns the leading pod."""
        self._run("scale", DEPLOYMENT, f"--replicas={self.replicas}")
        return self.wait_for_leader()

    def wait_for_leader(self) -> str:
        """Wait until a pod leads; returns it.

        Raises:
            RuntimeError: none does after 15 minutes.
        """
        end = time.monotonic() + _LEADER_SECONDS
        while time.monotonic() < end:
            if leader := self.leader():
                return leader
            time.sleep(0.2)
        raise RuntimeError(f"no pod of the operator leads after {_LEADER_SECONDS} s: {self._states()}")

    def wait_for_rollout(self) -> None:
        """Wait until every pod is ready, and nothing about them is written any more."""
        self._run("rollout", "status", DEPLOYMENT, f"--timeout={_LEADER_SECONDS}s", timeout=_LEADER_SECONDS + 60)
        time.sleep(2)

    def _states(self) -> str:
        path = (
            "{range .items[*].status.containerStatuses[*]}"
            "ready={.ready} restarts={.restartCount} {.lastState.terminated.reason} {end}"
        )
        done = self._run("get", "pods", "-l", "app.kubernetes.io/name=litclaw", "-o", f"jsonpath={path}", check=False)
        return str(done.stdout).strip() or "there is no pod"

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop it for the duration of the block."""
        self.stop()
        try:
            yield
        finally:
            self.start()
            self.wait_for_rollout()

    @contextlib.contextmanager
    def with_memory(self, limit: str) -> Iterator[None]:
        """Set another memory limit, such as ``2Gi``, for the duration of the block. It must be stopped at both ends."""
        before = self._run("get", DEPLOYMENT, "-o", f"jsonpath={_MEMORY}").stdout.strip()
        self._run("set", "resources", DEPLOYMENT, f"--limits=memory={limit}")
        try:
            yield
        finally:
            self._run("set", "resources", DEPLOYMENT, f"--limits=memory={before}")

    def python(self, pod: str, script: str) -> Any:
        """Run a script in one of its pods; returns the JSON that it prints."""
        return json.loads(self._run("exec", "-i", pod, "--", PYTHON, "-", stdin=script, timeout=2000).stdout)
