"""The API server as the cluster's administrator, without a kubectl for each call: for tests that make many."""

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import httpx

from .support import Kube, eventually

WORKERS = 8
A = TypeVar("A")
B = TypeVar("B")


@contextlib.contextmanager
def api_server(kube: Kube) -> Iterator[httpx.Client]:
    """A client behind `kubectl proxy`."""
    command = [str(kube.cluster.kubectl_path), "--kubeconfig", str(kube.cluster.kubeconfig), "proxy", "--port=0"]
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT)

        def port() -> str:
            printed.seek(0)
            found = re.search(r"127\.0\.0\.1:(\d+)", printed.read())
            assert found
            return found[1]

        try:
            base = f"http://127.0.0.1:{eventually(port, timeout=20)}"
            with httpx.Client(base_url=base, trust_env=False, timeout=60) as client:
                yield client
        finally:
            process.kill()
            process.wait()


def at_once(call: Callable[[A], B], given: Sequence[A]) -> list[B]:
    """The answers, in order, with some calls at a time."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(call, given))
