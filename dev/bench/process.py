"""CPU and memory of an operator's process, read from /proc, which costs the process nothing."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..cluster import ROOT, Cluster
from . import proc
from .operator_pods import Operator

_USE = Path(proc.__file__).read_text() + "\nimport json\n"
_NOW = _USE + "print(json.dumps(use()))"
_QUIET = (
    _USE
    + """
import time, urllib.request
CALM, SHARE, PASSES, LIMIT = %r, %r, %r, %r
def counters():
    with urllib.request.urlopen("http://127.0.0.1:8080/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    def total(name, *labels):
        found = [l for l in lines if l.startswith(name) and all(each in l for each in labels)]
        return sum(float(l.rpartition(" ")[2]) for l in found)
    agent = 'kind="OpenClawAgent"'
    return {
        "passes": total("litclaw_reconcile_total{", agent),
        "writes": sum(
            total("litclaw_kubernetes_requests_total{", f'verb="{verb}"')
            - total("litclaw_kubernetes_requests_total{", f'verb="{verb}"', 'kind="Lease"')
            for verb in ("patch", "create", "update", "delete")
        ),
        "waiting": total("litclaw_queue_depth{", agent) + total("litclaw_queue_retrying{", agent),
    }
start = time.time()
samples = []
while True:
    now, used = time.time(), use()
    samples.append((now, used["cpu"]))
    samples = [each for each in samples if each[0] > now - CALM - 0.5]
    if now - samples[0][0] > CALM and (used["cpu"] - samples[0][1]) / (now - samples[0][0]) < SHARE:
        seen = counters()
        if seen["passes"] >= PASSES and not seen["waiting"]:
            print(json.dumps({**used, "since": samples[0][0], **seen}))
            break
    if now > start + LIMIT:
        raise SystemExit(f"not quiet after {LIMIT} s")
    time.sleep(0.25)
"""
)
_BARE = Path(__file__).with_name("bare.py")
_BARE_LOG = ROOT / ".bench" / "bare.log"
_CALM_SECONDS = 3.0
_CALM_SHARE = 0.25


@dataclass(frozen=True)
class Use:
    """CPU seconds since the process's start; resident memory and its peak, in MB."""

    cpu: float
    rss: float
    peak: float


@dataclass(frozen=True)
class Quiet:
    """A process that has nothing to do.

    Attributes:
        since: since when, in seconds since 1970.
        passes: reconciles of agents since the process's start.
        writes: writes to the Kubernetes API since the process's start, by its own count, without its Lease.
    """

    use: Use
    since: float
    passes: int
    writes: int


def use(operator: Operator, pod: str) -> Use:
    """CPU and memory of the operator's process in a pod."""
    return Use(**operator.python(pod, _NOW))


def wait_for_quiet(operator: Operator, pod: str, *, passes: int = 0, limit: float = 1800) -> Quiet:
    """Wait until the process has reconciled a number of agents since its start, its queue has no agent, and it has used
    less than a quarter of a core for three seconds.

    Args:
        limit: in seconds.

    Raises:
        RuntimeError: the limit is over.
    """
    found = operator.python(pod, _QUIET % (_CALM_SECONDS, _CALM_SHARE, passes, limit))
    seen = Use(cpu=found["cpu"], rss=found["rss"], peak=found["peak"])
    return Quiet(use=seen, since=found["since"], passes=int(found["passes"]), writes=int(found["writes"]))


@contextlib.contextmanager
def bare_operator(cluster: Cluster) -> Iterator[subprocess.Popen[bytes]]:
    """Run a bare kopf operator (``bare.py``) as a process of this machine."""
    env = {**os.environ, **({"KUBECONFIG": str(cluster.kubeconfig)} if cluster.kubeconfig else {})}
    _BARE_LOG.parent.mkdir(exist_ok=True)
    with (
        _BARE_LOG.open("w") as log,
        subprocess.Popen([sys.executable, str(_BARE)], env=env, stdout=log, stderr=log) as started,
    ):
        try:
            yield started
        finally:
            started.terminate()


def use_at_rest(started: subprocess.Popen[bytes], *, limit: float = 600) -> Use:
    """CPU and memory of the bare operator, once it uses less than a quarter of a core for three seconds.

    Args:
        limit: in seconds.

    Raises:
        RuntimeError: it has ended, or the limit is over.
    """
    end = time.monotonic() + limit
    while started.poll() is None and time.monotonic() < end:
        before = proc.use(started.pid)["cpu"]
        time.sleep(_CALM_SECONDS)
        now = Use(**proc.use(started.pid))
        if now.cpu - before < _CALM_SHARE * _CALM_SECONDS:
            return now
    raise RuntimeError(f"the bare kopf operator has ended, or is still busy after {limit:.0f} s: {_BARE_LOG}")
