"""What the sections share: the plan, the cluster, the figures, and the operator's work on a fleet of agents."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..cluster import Cluster
from ..demo import wait_until
from . import process
from .figures import Figure
from .operator_pods import Operator
from .plan import Plan
from .sample import Sample, agent_spec
from .stage import AGENTS, HOME, INSTANT, Object, Stage
from .writes import Counting

AT_A_TIME = 16  # as many as the operator has workers
KEYS_A_CALL = 100
_PREPARED_AT_A_TIME = 32
_LONG = 7200.0
_READ_SECONDS = 600.0
_MADE_BY_US = ("POST", "openclawagents")
_OF_A_ROLLOUT = (("APPLY", "deployments/scale"), ("POST", "events"), ("APPLY", "events"))
"""Written by Kubernetes and the benchmark while pods start. The operator's own events are in its own count."""


@dataclass(frozen=True)
class Made:
    """Agents from nothing to ready: duration, and for how long of it agents were being created, in seconds; the operator's
    CPU seconds, and the seconds in which it used them; its writes, and its calls to the instant proxy about single keys."""

    seconds: float
    creating: float
    cpu: float
    watched: float
    writes: int
    calls: int


@dataclass(frozen=True)
class Started:
    """A start until the operator is in sync: duration in seconds, its CPU seconds and memory, its writes, its calls to the
    instant proxy about keys, and its other calls."""

    leader: str
    seconds: float
    use: process.Use
    writes: int
    key_calls: int
    other_calls: int


class Run:
    """One run of the benchmark.

    Attributes:
        log: prints a step.
        bare_cpu_ms: CPU an agent of the bare kopf operator, in ms; None: not measured.
    """

    def __init__(self, cluster: Cluster, plan: Plan, log: Callable[[str], None]) -> None:
        self.plan = plan
        self.log = log
        self.stage = Stage(cluster)
        self.operator = Operator(cluster)
        self.figures: list[Figure] = []
        self.sample = Sample()
        self.bare_cpu_ms: float | None = None

    def add(self, *figures: Figure) -> None:
        """Add figures to the result."""
        self.figures += figures
        for each in figures:
            self.log("   " + " · ".join(part for part in each.row() if part))

    def clean(self) -> None:
        """Delete all agents, and restart the operator."""
        with self.operator.stopped():
            self.stage.wipe()

    def fleet(self, prefix: str, count: int) -> Object:
        """Settings of the compiled client for a number of agents."""
        return {"namespace": AGENTS, "prefix": prefix, "count": count, "atATime": AT_A_TIME, "seconds": _LONG}

    def create(self, count: int, route: str = INSTANT, namespace: str = HOME, prefix: str = "agent") -> Object:
        """Create agents, and wait until the running operator has made them ready.

        Returns:
            ``seconds``, and for how many of them agents were being created (``creating``).
        """
        spec = agent_spec(route, namespace)
        took: Object = self.stage.client("converge", **self.fleet(prefix, count), labels={"bench": "yes"}, spec=spec)
        return took

    def make(self, count: int, route: str = INSTANT, namespace: str = HOME, prefix: str = "agent") -> Made:
        """Create agents, and measure the operator until they are ready."""
        leader = self.operator.wait_for_leader()
        before, began = process.wait_for_quiet(self.operator, leader), time.monotonic()
        self.stage.instant("forget")
        counting = Counting(self.stage.cluster, _MADE_BY_US)
        took = self.create(count, route, namespace, prefix)
        after = process.wait_for_quiet(self.operator, leader, passes=before.passes + count)
        watched = time.monotonic() - began
        calls = sum(times for path, times in self.calls().items() if " /key/" in path and "/key/list" not in path)
        cpu = after.use.cpu - before.use.cpu
        return Made(took["seconds"], took["creating"], cpu, watched, counting.done().total(), calls)

    def prepare(self, count: int, routes: list[str], prefix: str = "agent") -> None:
        """Have the compiled client make ready agents, spread over routes of the instant proxy. The operator must be stopped."""
        given = {**self.fleet(prefix, count), "labels": {"bench": "yes"}, **self.sample.template()}
        given |= {"atATime": _PREPARED_AT_A_TIME, "master": self.stage.master_key}
        took = self.stage.client("prepare", **given, specs=[agent_spec(route) for route in routes])
        self.log(f"   prepared in {took['seconds']:.0f} s")

    def start(self, agents: int) -> Started:
        """Start the stopped operator, and measure until it is in sync."""
        self.stage.instant("forget")
        counting, began = Counting(self.stage.cluster, *_OF_A_ROLLOUT), time.time()
        leader = self.operator.start()
        quiet = process.wait_for_quiet(self.operator, leader, passes=agents)
        calls = self.calls()
        keys = sum(times for path, times in calls.items() if " /key/" in path)
        writes = max(counting.done().total(), quiet.writes)
        return Started(leader, quiet.since - began, quiet.use, writes, keys, sum(calls.values()) - keys)

    def calls(self) -> dict[str, int]:
        """The calls to the instant proxy since its last ``forget``, by method, path and status."""
        found: dict[str, int] = self.stage.instant("counts")["counts"]
        return found

    def wait_for_keys_read(self) -> None:
        """Wait until the operator has finished a periodic read of the instant proxy's keys.

        The next read is then at least half a minute away. So a short measurement has none, and a long one as many as
        another of that length.
        """
        self.stage.instant("forget")
        last = 0

        def check() -> tuple[bool, str]:
            nonlocal last
            found = self.stage.instant("counts")
            pages = sum(times for path, times in found["counts"].items() if " /key/list" in path)
            unchanged, last = pages == last, pages
            all_pages = math.ceil(found["keys"] / KEYS_A_CALL)
            return unchanged and pages >= all_pages, f"{pages} of {all_pages} pages of keys have been read"

        wait_until(check, seconds=_READ_SECONDS, what="a read of all keys")
