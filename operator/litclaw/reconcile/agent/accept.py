"""Whether an agent may use the route that it names, with the models that it names."""

from collections.abc import Mapping
from typing import Any

from litclaw.api.agent import OpenClawAgent
from litclaw.kube.resources import ROUTE
from litclaw.litellm.keys import Limits
from litclaw.reconcile.context import Context
from litclaw.reconcile.core.conditions import Blocked, ConditionType, listed
from litclaw.reconcile.keys.limits import wanted_limits
from litclaw.reconcile.proxy.connection import Access
from litclaw.reconcile.proxy.offer import Offer
from litclaw.reconcile.route.allowed_namespaces import allows_namespace
from litclaw.render.openclaw.config import ModelFacts

NOT_ALLOWED = "NamespaceNotAllowed"


def accept(context: Context, agent: OpenClawAgent) -> Access:
    """What the agent gets of its route.

    Raises:
        Blocked: there is no such route, it doesn't allow the agent's namespace, isn't ready, or lacks a model.
    """
    namespace, name = agent.route_key
    where = f"LiteLLMRoute {namespace}/{name}"
    body = context.cache.get(ROUTE.kind, namespace, name)
    if body is None:
        message = f"{where} doesn't exist: create it, or correct spec.routeRef."
        raise Blocked(ConditionType.ROUTE_ACCEPTED, "RouteNotFound", message, stalled=True)
    allowed = allows_namespace(context, body, agent.metadata.namespace)
    if allowed is None:
        raise _unknown_namespace(context, where, agent.metadata.namespace)
    if not allowed:
        message = (
            f"{where} doesn't allow agents of namespace {agent.metadata.namespace}, so it gets no key, and one that it "
            "had is blocked: the route's owner can allow it, with spec.allowedNamespaces."
        )
        raise Blocked(ConditionType.ROUTE_ACCEPTED, NOT_ALLOWED, message, stalled=True)
    connection = context.routes.get(agent.route_key)
    offer = connection.offer if connection else None
    if connection is None or offer is None or not offer.models:
        message = f"Waits for {where}, which isn't ready: its conditions tell why."
        raise Blocked(ConditionType.ROUTE_ACCEPTED, "RouteNotReady", message, stalled=False)
    _wait_for_models(agent, where, offer.models, body["spec"])
    models = models_of(agent, where, offer.models)
    return Access(connection, offer, models, _limits(agent, offer))


def _unknown_namespace(context: Context, where: str, namespace: str) -> Blocked:
    """An operator that watches all namespaces may see a new one a moment after its agents. One for some may not read it."""
    labels = f"{where} chooses namespaces by their labels, and the operator"
    if context.namespaces:
        message = (
            f"{labels} can't read those of {namespace}: give it the right to get that namespace, or let the route's owner "
            "allow All."
        )
    else:
        message = f"{labels} hasn't seen namespace {namespace} yet."
    stalled = bool(context.namespaces)
    return Blocked(ConditionType.ROUTE_ACCEPTED, "NamespaceUnknown", message, stalled=stalled)


def _wait_for_models(
    agent: OpenClawAgent, where: str, offered: tuple[ModelFacts, ...], route: Mapping[str, Any]
) -> None:
    """Check that the proxy offers the models that the route was just given; its pods may be about to change.

    Raises:
        Blocked: the agent names one that isn't offered yet.
    """
    known = {each.name for each in offered}
    given = {each.get("name") for each in route.get("models") or ()}
    if coming := [name for _, name in _named(agent) if name in given - known]:
        message = f"Waits for {where}, whose proxy doesn't offer model {coming[0]!r} yet."
        raise Blocked(ConditionType.ROUTE_ACCEPTED, "RouteNotReady", message, stalled=False)


def _named(agent: OpenClawAgent) -> list[tuple[str, str]]:
    """The models that an agent names, each with the field."""
    spec = agent.spec
    named = [("spec.models", name) for name in spec.models]
    named += [("spec.defaultModel", spec.default_model)] if spec.default_model else []
    named += [("spec.fallbackModels", name) for name in spec.fallback_models]
    named += [("spec.imageModel", spec.image_model.name)] if spec.image_model else []
    return named


def models_of(agent: OpenClawAgent, where: str, offered: tuple[ModelFacts, ...]) -> tuple[ModelFacts, ...]:
    """The models that an agent may use, in its own order.

    Args:
        where: the route, for the message.
        offered: the route's models.

    Raises:
        Blocked: the agent names a model that the route doesn't have.
    """
    spec = agent.spec
    known = {each.name: each for each in offered}
    for field, name in _named(agent):
        if name not in known:
            message = f"{where} has no model {name!r}, named in {field}: it has {listed(known)}."
            raise Blocked(ConditionType.ROUTE_ACCEPTED, "ModelNotFound", message, stalled=True)
    return tuple(known[name] for name in spec.models) or offered


def _limits(agent: OpenClawAgent, offer: Offer) -> Limits:
    models = agent.spec.models or ([facts.name for facts in offer.models] if offer.limited else [])
    return wanted_limits(agent, offer.key_defaults, models)
