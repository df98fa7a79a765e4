"""Objects in and out of the cluster, conditions, and port-forwards."""

import argparse
import base64
import contextlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from typing import IO

from dev.cluster import Cluster

from .api import Api, Object
from .waiting import PATIENCE_SECONDS, eventually

# The selectors of kubectl's arguments, by their names in the API.
_SELECTORS = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
_SELECTORS.add_argument("-l", "--selector", dest="labelSelector")
_SELECTORS.add_argument("--field-selector", dest="fieldSelector")


class Kube:
    """Objects in and out of the cluster as dicts."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.run = cluster.run
        assert cluster.kubeconfig, "the tests' cluster has a kubeconfig of its own"
        self._api = Api(cluster.kubeconfig)

    def apply(self, *manifests: Object) -> None:
        """Apply as a user would, server-side."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """An object, or None."""
        return self._api.get(kind, namespace, name)

    def must(self, kind: str, namespace: str, name: str) -> Object:
        """An object that must be there."""
        found = self.get(kind, namespace, name)
        assert found, f"no {kind} {namespace}/{name}"
        return found

    def list(self, kinds: str, *args: str) -> list[Object]:
        """All objects of some kinds in all namespaces, or those that a selector, as kubectl takes it, matches."""
        options, rest = _SELECTORS.parse_known_args(args)
        assert not rest, f"only selectors are supported here, not {rest}"
        return self._api.every(kinds, **vars(options))

    def secret(self, namespace: str, name: str) -> dict[str, str]:
        """A Secret's values."""
        data = self.must("secret", namespace, name).get("data") or {}
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def delete(self, kind: str, namespace: str, name: str, *args: str) -> None:
        """Delete and wait until the object is gone."""
        self.run("-n", namespace, "delete", kind, name, "--ignore-not-found", *args)

    def patch(self, kind: str, namespace: str, name: str, patch: Object) -> None:
        """Change an object with a merge patch, as another user would."""
        self.run("-n", namespace, "patch", kind, name, "--type=merge", "-p", json.dumps(patch))

    def condition(self, kind: str, namespace: str, name: str, type_: str = "Ready") -> Object:
        """A condition of the current generation."""
        return _condition(self.must(kind, namespace, name), type_)

    def wait_condition(
        self,
        kind: str,
        namespace: str,
        name: str,
        type_: str,
        status: str,
        reason: str = "",
        *,
        timeout: float = PATIENCE_SECONDS,
    ) -> Object:
        """Wait until a condition has a status and, if given, a reason."""

        def look() -> Object | None:
            found = self.condition(kind, namespace, name, type_)
            assert found.get("status") == status and reason in ("", found.get("reason")), found
            return found

        return eventually(look, timeout=timeout, what=f"{type_}={status} {reason} of {kind} {namespace}/{name}")

    def wait_ready(self, kind: str, namespace: str, name: str, *, timeout: float = PATIENCE_SECONDS) -> Object:
        """Wait until a resource is ready; returns the object as it was then."""

        def look() -> Object:
            body = self.must(kind, namespace, name)
            found = _condition(body, "Ready")
            assert found.get("status") == "True", found
            return body

        return eventually(look, timeout=timeout, what=f"Ready=True of {kind} {namespace}/{name}")

    @contextlib.contextmanager
    def forward(self, namespace: str, target: str, port: int | str) -> Iterator[str]:
        """A port-forward; yields its URL on loopback.

        Raises:
            AssertionError: there is nothing to forward to.
        """
        command = [str(self.cluster.kubectl_path), "--kubeconfig", str(self.cluster.kubeconfig)]
        command += ["-n", namespace, "port-forward", target, f":{port}"]
        # A file, not a pipe: kubectl writes a line for every connection, and would block on a full pipe.
        with tempfile.TemporaryFile("w+") as printed:
            process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT)
            try:
                eventually(lambda: _port_in(printed) or process.poll() is not None, what=f"a port-forward to {target}")
                local = _port_in(printed)
                assert local and process.poll() is None, _text(printed)
                yield f"http://127.0.0.1:{local}"
            finally:
                process.kill()
                process.wait()


def _condition(body: Object, type_: str) -> Object:
    status = body.get("status") or {}
    assert status.get("observedGeneration") == body["metadata"]["generation"], "the status of an older generation"
    return next((each for each in status.get("conditions", []) if each["type"] == type_), {})


def _text(printed: IO[str]) -> str:
    printed.seek(0)
    return printed.read()


def _port_in(printed: IO[str]) -> str:
    """The local port that a port-forward has printed; empty: none yet."""
    match = re.search(r"127\.0\.0\.1:(\d+)", _text(printed))
    return match[1] if match else ""
