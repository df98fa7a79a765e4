"""What the operator's process uses, seen from within its pod but not by itself: /proc, which costs it nothing."""

from dataclasses import dataclass

from .stage import Operator

_USE = """
import json, os
KB = 1024 / 1e6
def use():
    fields = open("/proc/1/stat").read().rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in open("/proc/1/status"))
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return {"cpu": cpu, "rss": int(status["VmRSS"].split()[0]) * KB, "peak": int(status["VmHWM"].split()[0]) * KB}
"""
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
_CALM_SECONDS = 3.0
_CALM_SHARE = 0.25


@dataclass(frozen=True)
class Use:
    """What a process has used: CPU in seconds since its start, memory in MB now and at most."""

    cpu: float
    rss: float
    peak: float


@dataclass(frozen=True)
class Quiet:
    """A process that has nothing to do.

    Attributes:
        since: when it began to have nothing to do, in seconds since 1970.
        passes: how many agents it has looked at since its start.
        writes: how often it has written to the Kubernetes API since its start, by its own count, without its Lease.
    """

    use: Use
    since: float
    passes: int
    writes: int


def use(operator: Operator, pod: str) -> Use:
    """What the operator's process in a pod has used."""
    return Use(**operator.python(pod, _NOW))


def wait_for_quiet(operator: Operator, pod: str, *, passes: int = 0, limit: float = 1800) -> Quiet:
    """Until the process has looked at a number of agents since its start, has none left to look at, and has used less than
    a quarter of a core for three seconds.

    Raises:
        RuntimeError: it didn't come to rest.
    """
    found = operator.python(pod, _QUIET % (_CALM_SECONDS, _CALM_SHARE, passes, limit))
    seen = Use(cpu=found["cpu"], rss=found["rss"], peak=found["peak"])
    return Quiet(use=seen, since=found["since"], passes=int(found["passes"]), writes=int(found["writes"]))
