"""The API server, called as administrator without a kubectl process for each call, for tests that make many calls."""

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import httpx

from .kube import Kube
from .waiting import eventually

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
            base = f"http://127.0.0.1:{eventually(port)}"
            with httpx.Client(base_url=base, trust_env=False, timeout=60) as client:
                yield client
        finally:
            process.kill()
            process.wait()


def at_once(call: Callable[[A], B], given: Sequence[A]) -> list[B]:
    """Make calls, some at a time; returns the answers in order."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(call, given))
