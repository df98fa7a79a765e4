"""An agent's Secret: the one place of the project that holds a virtual key."""

from ..api import names
from ..api.agent import AGENT_KIND, OpenClawAgent
from .metadata import Manifest, child, encode


def agent_secret(agent: OpenClawAgent, *, key: str, base_url: str) -> Manifest:
    """The Secret with ``LITELLM_API_KEY`` and ``LITELLM_BASE_URL``."""
    manifest = child(
        "v1", "Secret", agent.secret_name, owner_kind=AGENT_KIND, owner=agent.metadata, component="virtual-key"
    )
    return {**manifest, "type": "Opaque", "data": encode({names.API_KEY: key, names.BASE_URL: base_url})}


def gateway_token_secret(agent: OpenClawAgent, token: str) -> Manifest:
    """The Secret with the token that guards the agent's gateway."""
    manifest = child(
        "v1",
        "Secret",
        names.agent_gateway_token(agent.metadata.name),
        owner_kind=AGENT_KIND,
        owner=agent.metadata,
        component="gateway",
    )
    return {**manifest, "type": "Opaque", "data": encode({names.GATEWAY_TOKEN: token})}
