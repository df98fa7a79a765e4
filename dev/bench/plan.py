"""What a run measures, and in which sizes."""

from dataclasses import dataclass

SECTIONS = ("converge-real", "rotate", "bare", "converge-instant", "route", "memory", "latency", "idle", "start")


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        only: names of sections.
        instant: how many agents converge with the proxy that answers at once.
        real: how many with the real one.
        crowd: how many stand idle while one is changed, and are there at a start.
        bare: how many a bare kopf operator makes ready.
        route: how many a change of a route touches.
        rotate: how many keys are rotated.
        changes: of how many changes latencies are taken.
        idle: for how many seconds nothing is done.
        proxy_cpu: how much CPU the real LiteLLM may use; empty: all there is. Bare calls take 1.6 of two cores then, and
            what is left decides the comparison, not the operator.
    """

    only: frozenset[str]
    instant: tuple[int, ...] = (1000, 10000)
    real: tuple[int, ...] = (200, 1000)
    crowd: int = 10000
    bare: int = 1000
    route: int = 1000
    rotate: int = 1000
    changes: int = 200
    idle: float = 300.0
    proxy_cpu: str = "500m"

    @property
    def is_whole(self) -> bool:
        """Whether all is measured, in the sizes that the docs speak of."""
        return self == Plan(frozenset(SECTIONS), changes=self.changes, idle=self.idle)
