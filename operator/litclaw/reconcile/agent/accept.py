"""Whether an agent may use the route that it asks for, with the models that it asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from litclaw.api.agent import OpenClawAgent
from litclaw.api.quantity import usd
from litclaw.api.route import AllowedNamespaces
from litclaw.kube.resources import NAMESPACE, ROUTE
from litclaw.litellm.keys import Limits
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.core.conditions import Blocked, listed
from litclaw.render.openclaw.config import ModelFacts

ROUTE_ACCEPTED = "RouteAccepted"
NOT_ALLOWED = "NamespaceNotAllowed"


@dataclass(frozen=True, slots=True)
class Access:
    """What an accepted agent gets.

    Attributes:
        state: the route's proxy.
        models: what the agent may use, in its own order.
        limits: what its key may do.
    """

    state: RouteState
    models: tuple[ModelFacts, ...]
    limits: Limits


def accept(context: Context, agent: OpenClawAgent) -> Access:
    """What the agent gets of its route.

    Raises:
        Blocked: there is no such route, it isn't for the agent's namespace, isn't ready, or lacks a model.
    """
    namespace, name = agent.route_key
    where = f"LiteLLMRoute {namespace}/{name}"
    body = context.cache.get(ROUTE.kind, namespace, name)
    if body is None:
        message = f"{where} doesn't exist: create it, or mend spec.routeRef."
        raise Blocked(ROUTE_ACCEPTED, "RouteNotFound", message, stalled=True)
    allows = _allows(context, body, agent.metadata.namespace)
    if allows is None:
        message = (
            f"{where} chooses namespaces by their labels, and the operator can't read those of "
            f"{agent.metadata.namespace}: give it the right to get that namespace, or let the route's owner say All."
        )
        raise Blocked(ROUTE_ACCEPTED, "NamespaceUnknown", message, stalled=True)
    if not allows:
        message = (
            f"{where} doesn't allow agents of namespace {agent.metadata.namespace}, so it gets no key, and one that it "
            "had is blocked: the route's owner can allow it, with spec.allowedNamespaces."
        )
        raise Blocked(ROUTE_ACCEPTED, NOT_ALLOWED, message, stalled=True)
    state = context.routes.get(agent.route_key)
    if state is None or not state.facts:
        message = f"Waits for {where}, which isn't ready: its conditions say why."
        raise Blocked(ROUTE_ACCEPTED, "RouteNotReady", message, stalled=False)
    _wait_for_models(agent, where, state.facts, body["spec"])
    models = models_of(agent, where, state.facts)
    return Access(state=state, models=models, limits=_limits(agent, state))


def _wait_for_models(agent: OpenClawAgent, where: str, facts: tuple[ModelFacts, ...], route: Mapping[str, Any]) -> None:
    """See that a model that the route has been given is offered by its proxy too, whose pods may be about to change.

    Raises:
        Blocked: the agent names one that isn't.
    """
    offered = {each.name for each in facts}
    given = {each.get("name") for each in route.get("models") or ()}
    if coming := [name for _, name in _named(agent) if name in given - offered]:
        message = f"Waits for {where}, whose proxy doesn't offer model {coming[0]!r} yet."
        raise Blocked(ROUTE_ACCEPTED, "RouteNotReady", message, stalled=False)


def _named(agent: OpenClawAgent) -> list[tuple[str, str]]:
    """The models that an agent names, each with the field."""
    spec = agent.spec
    named = [("spec.models", name) for name in spec.models]
    named += [("spec.defaultModel", spec.default_model)] if spec.default_model else []
    named += [("spec.fallbackModels", name) for name in spec.fallback_models]
    named += [("spec.imageModel", spec.image_model.name)] if spec.image_model else []
    return named


def _allows(context: Context, route: Mapping[str, Any], namespace: str) -> bool | None:
    """Whether a route is for a namespace; None where that rests on labels that can't be read."""
    try:
        allowed = AllowedNamespaces.model_validate(route["spec"].get("allowedNamespaces") or {})
    except ValidationError:
        return False  # the route's own condition says what is wrong with it
    body = context.cache.get(NAMESPACE.kind, "", namespace)
    labels = None if body is None else body["metadata"].get("labels") or {}
    return allows(allowed, route["metadata"]["namespace"], namespace, labels)


def allows(allowed: AllowedNamespaces, home: str, namespace: str, labels: Mapping[str, str] | None) -> bool | None:
    """Whether a route is for the agents of a namespace; None where that rests on labels that aren't known.

    Args:
        allowed: what the route says.
        home: the route's own namespace.
        namespace: the agents'.
        labels: the namespace's; None: not known.
    """
    if namespace == home or allowed.from_ == "All":
        return True
    if allowed.from_ == "Same" or allowed.selector is None:
        return False
    if labels is None:
        return None
    return all(labels.get(key) == value for key, value in allowed.selector.match_labels.items())


def models_of(agent: OpenClawAgent, where: str, facts: tuple[ModelFacts, ...]) -> tuple[ModelFacts, ...]:
    """The models that an agent may use, in its own order.

    Args:
        where: the route, for the message.
        facts: the route's models.

    Raises:
        Blocked: the agent names one that the route hasn't.
    """
    spec = agent.spec
    known = {each.name: each for each in facts}
    for field, name in _named(agent):
        if name not in known:
            message = f"{where} has no model {name!r}, named in {field}: it has {listed(known)}."
            raise Blocked(ROUTE_ACCEPTED, "ModelNotFound", message, stalled=True)
    return tuple(known[name] for name in spec.models) or facts


def _limits(agent: OpenClawAgent, state: RouteState) -> Limits:
    key, defaults = agent.spec.key, state.key_defaults
    budget = key.max_budget if key.max_budget is not None else defaults.max_budget
    models = agent.spec.models or ([facts.name for facts in state.facts] if state.limited else [])

    def limit(own: int | None, default: int | None) -> int | None:
        return (own if own is not None else default) or None

    return Limits(
        models=tuple(models),
        max_budget=float(usd(budget)) if budget is not None else None,
        budget_duration=key.budget_duration or defaults.budget_duration,
        tpm_limit=limit(key.tpm_limit, defaults.tpm_limit),
        rpm_limit=limit(key.rpm_limit, defaults.rpm_limit),
        max_parallel_requests=limit(key.max_parallel_requests, None),
        team_id=key.team,
        tags=tuple(key.tags),
    )
