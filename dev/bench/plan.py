"""What a run measures, and in which sizes."""

from dataclasses import dataclass

SECTIONS = (
    *("cli", "converge-real", "rotate", "bare", "converge-instant", "route", "memory", "latency", "idle", "start"),
    *("hanging-proxy", "shared-proxy", "scale"),
)


@dataclass(frozen=True)
class Plan:
    """The sections of a run, and their sizes.

    Attributes:
        only: names of sections.
        instant: how many agents converge with the instant proxy.
        real: how many converge with the real proxy.
        crowd: how many exist in `latency`, `idle`, `start` and `memory`.
        bare: how many agents the bare kopf operator makes ready.
        route: how many agents a route's change affects.
        rotate: how many keys are rotated.
        hanging: how many agents each of the two proxies has in `hanging-proxy`.
        shared: how many agents one route, and then ``routes`` routes, have in `shared-proxy`.
        scale: the smaller and the larger number of agents whose costs are compared.
        changes: the number of changes from which latencies are taken.
        idle: duration of the idle measurement, in seconds.
        proxy_cpu: CPU limit of the real LiteLLM; empty: none. Without one the bare calls take 1.6 of two cores, and the
            comparison shows how the machine is shared (docs/benchmarks.md).
    """

    only: frozenset[str]
    instant: tuple[int, ...] = (1000, 10000)
    real: tuple[int, ...] = (200, 1000)
    crowd: int = 10000
    bare: int = 1000
    route: int = 1000
    rotate: int = 1000
    hanging: int = 100
    shared: int = 3000
    routes: int = 30
    scale: tuple[int, int] = (10000, 50000)
    changes: int = 200
    idle: float = 300.0
    proxy_cpu: str = "500m"

    @property
    def needs_cluster(self) -> bool:
        """Whether any section but the command line's is measured."""
        return self.only != {"cli"}

    @property
    def is_whole(self) -> bool:
        """Whether all sections run, in the sizes of docs/benchmarks.md."""
        return self == Plan(frozenset(SECTIONS), changes=self.changes, idle=self.idle)
