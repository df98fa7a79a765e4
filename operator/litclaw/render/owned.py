"""The frame of every object that a route or an agent owns: its labels, its owner, its annotations."""

from collections.abc import Mapping

from litclaw.api.agent import AGENT_KIND, OpenClawAgent
from litclaw.api.route import ROUTE_KIND, LiteLLMRoute
from litclaw.render.metadata import Manifest, child


def of_route(
    route: LiteLLMRoute,
    api_version: str,
    kind: str,
    name: str,
    *,
    component: str,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """The frame of an object of a route's."""
    return child(api_version, kind, name, ROUTE_KIND, route.metadata, component, annotations)


def of_agent(
    agent: OpenClawAgent,
    api_version: str,
    kind: str,
    name: str,
    *,
    component: str,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """The frame of an object of an agent's."""
    return child(api_version, kind, name, AGENT_KIND, agent.metadata, component, annotations)
