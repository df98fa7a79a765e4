"""An agent's Secret: the one place of the project that holds a virtual key."""

from ..api import names
from ..api.agent import OpenClawAgent
from .metadata import Manifest, encode
from .owned import of_agent


def agent_secret(agent: OpenClawAgent, *, key: str, base_url: str) -> Manifest:
    """The Secret with ``LITELLM_API_KEY`` and ``LITELLM_BASE_URL``."""
    manifest = of_agent(agent, "v1", "Secret", agent.secret_name, component="virtual-key")
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
