"""What a route offers its agents: one frozen value. Agents are reconciled when it changes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from litclaw.api.base import is_model_name
from litclaw.api.route import KeyDefaults
from litclaw.net.address import Reach
from litclaw.render.openclaw.config import ModelFacts, read_facts
from litclaw.render.proxy_peer import ProxyPeer

MOST_MODELS = 1_000
"""A route that doesn't name its models offers that many of the proxy's."""


MOST_KNOWN = 5_000
"""That many models of a proxy can be named by its routes."""


def known_models(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """What is kept of a proxy's models: usable names, the first `MOST_KNOWN` by the alphabet, with the facts that are read."""
    names = [name for name in found if is_model_name(name)]
    kept = set(sorted(names)[:MOST_KNOWN]) if len(names) > MOST_KNOWN else set(names)
    return {name: read_facts(found[name]) for name in names if name in kept}


def offered_names(found: Collection[str]) -> tuple[str, ...]:
    """The names among a proxy's models that agents may use: those that the API allows, at most `MOST_MODELS`.

    They are sorted, because each process of a proxy has its own order.
    """
    return tuple(sorted(filter(is_model_name, found))[:MOST_MODELS])


@dataclass(frozen=True, slots=True)
class Offer:
    """What a route offers its agents.

    Attributes:
        url: root of the proxy.
        authorities: certificates, in PEM, that the proxy's own is checked against; empty: the usual ones.
        reach: where the proxy is, as OpenClaw's private-network check sees it.
        peer: the destination that the agents' NetworkPolicies open.
        models: the models that agents may use, in the route's order or, where it names none, by name; empty: none is known
            yet.
        limited: True if the proxy serves more models than the route offers.
        key_defaults: limits and rotation of keys whose agents don't set them.
        usable: True if keys can be created now.
        allows_retain: True if keys may outlive their agent.
    """

    url: str
    authorities: str
    reach: Reach
    peer: ProxyPeer
    models: tuple[ModelFacts, ...]
    limited: bool
    key_defaults: KeyDefaults
    usable: bool
    allows_retain: bool = True
