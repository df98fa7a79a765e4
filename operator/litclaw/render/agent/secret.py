"""An agent's Secret: the one place of the project that holds a virtual key."""

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.render.metadata import Manifest, encode
from litclaw.render.owned import of_agent

_SHOWN = 8


def agent_secret(agent: OpenClawAgent, *, key: str, token: str, base_url: str) -> Manifest:
    """The Secret with ``LITELLM_API_KEY`` and ``LITELLM_BASE_URL``.

    Args:
        agent: the resource.
        key: the virtual key.
        token: its SHA-256, whose first characters tell in the metadata that it is another one.
        base_url: the proxy's root.
    """
    annotations = {**names.RELOADER, names.ANNOTATION_KEY: token[:_SHOWN]}
    manifest = of_agent(agent, "v1", "Secret", agent.secret_name, component="virtual-key", annotations=annotations)
    return {**manifest, "type": "Opaque", "data": encode({names.API_KEY: key, names.BASE_URL: base_url})}


def gateway_token_secret(agent: OpenClawAgent, token: str) -> Manifest:
    """The Secret with the token that guards the agent's gateway."""
    manifest = of_agent(
        agent,
        "v1",
        "Secret",
        names.agent_gateway_token(agent.metadata.name),
        component="gateway",
    )
    return {**manifest, "type": "Opaque", "data": encode({names.GATEWAY_TOKEN: token})}
