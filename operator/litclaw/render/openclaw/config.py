"""An agent's openclaw.json, in the layout of its OpenClaw release (`litclaw.render.openclaw.releases`).

It refers to the key without containing it: as an environment variable, or as a file if the operator runs the gateway.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.api.duration import milliseconds
from litclaw.api.models import OpenClawModel
from litclaw.render.openclaw.releases import Layout, Release, layout, release_of, release_of_image
from litclaw.render.openclaw.substitution import Reference, literal

PROVIDER = "litellm"
GATEWAY_PORT = 18789
KEY_DIR = "/run/litclaw/key"
"""Where the gateway has its own copy of the key: see `litclaw.render.agent.gateway_key`."""
_PRICES = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cacheRead": "cache_read_input_token_cost",
    "cacheWrite": "cache_creation_input_token_cost",
}
_CHAT_MODES = ("chat", "responses")
_LONGEST_MODE = 32
_READ = (
    "supports_vision",
    "supports_reasoning",
    "max_input_tokens",
    "max_output_tokens",
    "max_tokens",
    *_PRICES.values(),
)
_MOST_TOKENS = 100_000_000  # the bound in spec.models[].openclaw
_HIGHEST_PRICE = 1_000_000  # US dollars per token


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts about a model for openclaw.json.

    Attributes:
        input: kinds of input, ``text`` and ``image``.
        context_window: in tokens; None: unknown.
        max_tokens: maximum length of an answer in tokens; None: unknown.
        cost: US dollars per million tokens, by OpenClaw's name of the price.
        chat: True if it answers chats, as far as the proxy knows; False for embeddings, images, speech and so on.
    """

    name: str
    display_name: str
    reasoning: bool
    input: tuple[str, ...]
    context_window: int | None
    max_tokens: int | None
    cost: tuple[tuple[str, float], ...] = ()
    chat: bool = True


def model_facts(name: str, given: OpenClawModel, info: Mapping[str, Any]) -> ModelFacts:
    """Facts about a model from the route's ``openclaw`` fields and, if those are unset, the proxy's ``/model/info``.

    Prices always come from the proxy, because it charges for the requests. It states US dollars per token.
    """
    info = read_facts(info)
    vision = ("text", "image") if info.get("supports_vision") else ("text",)
    return ModelFacts(
        name=name,
        display_name=given.display_name or name,
        reasoning=given.reasoning if given.reasoning is not None else bool(info.get("supports_reasoning")),
        input=tuple(given.input) if given.input else vision,
        context_window=given.context_window or _tokens(info, "max_input_tokens", "max_tokens"),
        max_tokens=given.max_tokens or _tokens(info, "max_output_tokens", "max_tokens"),
        cost=tuple((name, price) for name, field in _PRICES.items() if (price := _per_million(info.get(field)))),
        chat=not info.get("mode") or info["mode"] in _CHAT_MODES,
    )


def default_model(agent: OpenClawAgent, models: Sequence[ModelFacts]) -> str:
    """The model that an agent uses by default: the one that it names, or the first that answers chats.

    Where the agent names no models, the one that it has stays while there is one of that name: a model that a route's owner
    adds is no reason to restart every gateway with another one.

    Args:
        agent: the resource, with its status.
        models: the models that it may use, at least one.
    """
    if agent.spec.default_model:
        return agent.spec.default_model
    usable = [facts.name for facts in models if facts.chat] or [facts.name for facts in models]
    before = agent.status.default_model
    return before if before in usable and not agent.spec.models else usable[0]


def read_facts(info: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a ``model_info`` that `model_facts` reads. The rest may be of any size."""
    facts = {name: info[name] for name in _READ if isinstance(info.get(name), (bool, int, float))}
    mode = info.get("mode")
    return {**facts, "mode": mode[:_LONGEST_MODE]} if isinstance(mode, str) else facts


def _number(value: object, least: float, most: float) -> float | int | None:
    """The value if it is a number between two bounds. A model_info may contain anything the proxy's owner wrote."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if least <= value <= most else None


def _tokens(info: Mapping[str, Any], *fields: str) -> int | None:
    """The value of the first field that is a number of tokens."""
    numbers = (_number(info.get(field), 1, _MOST_TOKENS) for field in fields)
    return next((int(number) for number in numbers if number), None)


def _per_million(given: object) -> float | None:
    price = _number(given, 0, _HIGHEST_PRICE)
    return float(round(Decimal(str(price)) * 1_000_000, 6)) if price else None


def _provider_model(facts: ModelFacts) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": facts.name,
        "name": facts.display_name,
        "reasoning": facts.reasoning,
        "input": list(facts.input),
    }
    if facts.context_window:
        entry["contextWindow"] = facts.context_window
    if facts.max_tokens:
        entry["maxTokens"] = facts.max_tokens
    if facts.cost:
        entry["cost"] = dict(facts.cost)
    return entry


def owned_config(
    agent: OpenClawAgent,
    reads: Layout,
    *,
    base_url: str,
    allow_private_network: bool,
    models: Sequence[ModelFacts],
    authorities: str,
) -> dict[str, Any]:
    """The part of openclaw.json that the operator owns, so that ``config.extra`` can't change it.

    `literal` has to be applied to it.

    Args:
        agent: the resource.
        reads: the layout of its OpenClaw release.
        base_url: root of the proxy.
        allow_private_network: whether OpenClaw may call the proxy at a private address.
        models: the models that the agent may use, at least one.
        authorities: CA certificates, in PEM, that the proxy's own is checked against; empty: the usual ones.
    """
    spec = agent.spec
    provider: dict[str, Any] = {
        "api": "openai-completions",
        "apiKey": Reference.to(names.API_KEY),
        "baseUrl": base_url,
        "models": [_provider_model(facts) for facts in models],
    }
    request: dict[str, Any] = {}
    if allow_private_network and reads.private_network:
        request["allowPrivateNetwork"] = True
    if authorities:
        # For this provider alone. NODE_EXTRA_CA_CERTS would make the whole gateway trust them.
        request["tls"] = {"ca": authorities}
    if request:
        provider["request"] = request
    model: dict[str, Any] = {"primary": f"{PROVIDER}/{default_model(agent, models)}"}
    if spec.fallback_models:
        model["fallbacks"] = [f"{PROVIDER}/{name}" for name in spec.fallback_models]
    defaults: dict[str, Any] = {"model": model}
    if spec.image_model:
        image: dict[str, Any] = {"primary": f"{PROVIDER}/{spec.image_model.name}"}
        if spec.image_model.timeout and reads.image_timeout:
            image["timeoutMs"] = milliseconds(spec.image_model.timeout)
        below = defaults
        for part in reads.image[:-1]:
            below = below.setdefault(part, {})
        below[reads.image[-1]] = image
    config: dict[str, Any] = {
        "agents": {"defaults": defaults},
        "gateway": {"mode": "local"},
        "models": {"mode": "replace", "providers": {PROVIDER: provider}},
    }
    if spec.gateway:
        provider["apiKey"] = {"source": "file", "provider": PROVIDER, "id": "value"}
        config["secrets"] = {
            "providers": {PROVIDER: {"source": "file", "path": f"{KEY_DIR}/{names.API_KEY}", "mode": "singleValue"}}
        }
        config["gateway"] = {
            "mode": "local",
            "bind": "lan",
            "port": GATEWAY_PORT,
            "auth": {"mode": "token", "token": Reference.to(names.GATEWAY_TOKEN)},
        }
    return config


# Paths to which extra can't add anything. The provider's block decides where the key and the requests go (headers, an
# HTTP proxy, another address). A key in env.vars wins over the one in the gateway's file. Probes don't use TLS. Tested
# with 2026.9.6.
_RESERVED = (
    ("models", "providers", PROVIDER),
    ("secrets", "providers", PROVIDER),
    ("env", "vars", names.API_KEY),
    ("env", names.API_KEY),
    ("gateway", "tls"),
)


def _at(config: Mapping[str, Any], path: Sequence[str]) -> Any:
    found: Any = config
    for part in path:
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _without(config: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    out = dict(config)
    head, *rest = path
    if not rest:
        out.pop(head, None)
    elif isinstance(out.get(head), Mapping):
        out[head] = _without(out[head], rest)
    return out


def remove_reserved(extra: Mapping[str, Any], owned: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Remove the reserved paths from the user's settings.

    Returns:
        The remaining settings, and the reserved paths whose value differed from the operator's.
    """
    left, clashes = dict(extra), []
    for path in _RESERVED:
        theirs = _at(left, path)
        if theirs is not None:
            if theirs != _at(owned, path):
                clashes.append(".".join(path))
            left = _without(left, path)
    return left, clashes


def merge(extra: Mapping[str, Any], owned: Mapping[str, Any], path: str = "") -> tuple[dict[str, Any], list[str]]:
    """Merge deeply. The operator's values win.

    Returns:
        The merged config, and the paths at which ``extra`` has another value.
    """
    merged: dict[str, Any] = dict(extra)
    clashes: list[str] = []
    for key, value in owned.items():
        at = f"{path}.{key}" if path else key
        theirs = extra.get(key)
        if isinstance(value, Mapping) and isinstance(theirs, Mapping):
            merged[key], below = merge(theirs, value, at)
            clashes += below
            continue
        if key in extra and theirs != value:
            clashes.append(at)
        merged[key] = value
    return merged, clashes


@dataclass(frozen=True, slots=True)
class OpenClawConfig:
    """A rendered openclaw.json, and what of the resource is missing from it.

    Attributes:
        text: the file's content.
        allow_private_network: whether it allows calling the proxy at a private address.
        remarks: sentences about settings that were left out or overruled.
    """

    text: str
    allow_private_network: bool
    remarks: tuple[str, ...]


def agents_release(agent: OpenClawAgent) -> Release | None:
    """The OpenClaw release that reads the config: ``openclawVersion``, or the gateway image's tag; None: unknown."""
    if agent.spec.config.openclaw_version:
        return release_of(agent.spec.config.openclaw_version)
    return release_of_image(agent.spec.gateway.image) if agent.spec.gateway else None


def openclaw_config(
    agent: OpenClawAgent,
    *,
    base_url: str,
    allow_private_network: bool,
    models: Sequence[ModelFacts],
    authorities: str = "",
) -> OpenClawConfig:
    """An agent's openclaw.json.

    Args:
        agent: the resource.
        base_url: root of the proxy, without ``/v1`` (OpenClaw adds the path).
        allow_private_network: whether OpenClaw may call the proxy at a private address.
        models: the models that the agent may use, at least one; see `default_model`.
        authorities: CA certificates, in PEM, that the proxy's own is checked against; empty: the usual ones.

    Raises:
        TooOldError: the release is older than the oldest supported one.
    """
    reads = layout(agents_release(agent))
    owned = literal(
        owned_config(
            agent,
            reads,
            base_url=base_url,
            allow_private_network=allow_private_network,
            models=models,
            authorities=authorities,
        )
    )
    extra, reserved = remove_reserved(agent.spec.config.extra, owned)
    merged, overruled = merge(extra, owned)
    clashes = reserved + overruled
    remarks = [f"spec.config.extra can't change {', '.join(clashes)}."] if clashes else []
    if agent.spec.image_model and agent.spec.image_model.timeout and not reads.image_timeout:
        remarks.append("spec.imageModel.timeout is left out: this OpenClaw release doesn't know it.")
    return OpenClawConfig(
        text=json.dumps(merged, indent=2, sort_keys=True, ensure_ascii=False) + "\n",
        allow_private_network=allow_private_network and reads.private_network,
        remarks=tuple(remarks),
    )
