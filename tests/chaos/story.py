"""One story: a change, its beginning, and what is promised of its end."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from litclaw.kube.resources import AGENT, ROUTE

from .calls import case_of
from .stage import Object, Snapshot, Stage

Act = Callable[[Stage, str], Awaitable[None]]
"""A change to a case's resources, as people make it."""


async def with_route(stage: Stage, case: str) -> None:
    """A route, and an agent that has a key by it."""
    await stage.apply(stage.route(case, case))
    await stage.apply(stage.agent(case))


@dataclass(frozen=True)
class Story:
    """One story.

    Attributes:
        act: the change.
        begin: makes what there is at the beginning; None: nothing but the master keys.
        prepare: earlier changes, made one after the other without a fault.
        accepted: whether the keys in the Secrets must be accepted in the end; None: nobody has a key then.
        tenant: the suffix of the case's name that gives the tenant whose LiteLLM the agents have in the end.
        tenant_before: the same at the beginning.
        keys: the number of keys in the end, without those that have an end.
        promise: whether an end state, cleaned of what differs from case to case, is as documented.
        crosses: whether it crosses objects. Such a story has many calls: see `faults.kinds_at`.
        retains: whether a key outlives its agent in it, and ends with its route.
        loses_database: whether the keys go with the database of a managed route.
    """

    name: str
    act: Act
    begin: Act | None = with_route
    prepare: tuple[Act, ...] = ()
    accepted: bool | None = True
    tenant: str = ""
    tenant_before: str = ""
    keys: int = 1
    promise: Callable[[Object], bool] = lambda state: True
    crosses: bool = False
    retains: bool = False
    loses_database: bool = False


def is_begun(snapshot: Snapshot, applied: Collection[tuple[str, str]], case: str) -> bool:
    """Whether all agents and routes that people have made for a case are ready, and those that they have deleted are gone.

    Args:
        applied: see `Stage`.
    """
    wanted = {each for each in applied if case_of(each[1]) == case}
    there = {
        (kind, name) for kind in (AGENT.kind, ROUTE.kind) for name in snapshot.objects[kind] if case_of(name) == case
    }
    return there == wanted and all(is_ready(snapshot, *each) for each in wanted)


def is_ready(snapshot: Snapshot, kind: str, name: str) -> bool:
    """Whether a resource is ready, by the status of its current generation."""
    body = snapshot.get(kind, name)
    status = (body or {}).get("status") or {}
    if body is None or status.get("observedGeneration") != body["metadata"]["generation"]:
        return False
    ready = [each["status"] for each in status.get("conditions", []) if each["type"] == "Ready"]
    return ready == ["True"]
