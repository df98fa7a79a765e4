"""An agent's Secrets: the virtual key, whose value is stored nowhere else, and the gateway's token."""

from typing import Final

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.render.metadata import Manifest, encode, owned_object

VIRTUAL_KEY: Final = "virtual-key"
"""The component of the Secret with the virtual key."""
_SHOWN_CHARACTERS = 8


def agent_secret(agent: OpenClawAgent, *, key: str, token: str, base_url: str) -> Manifest:
    """The Secret with ``LITELLM_API_KEY`` and ``LITELLM_BASE_URL``.

    Args:
        agent: the resource.
        key: the virtual key.
        token: the key's SHA-256. Its first characters are an annotation, which changes when the key does.
        base_url: root of the proxy.
    """
    annotations = {**names.RELOADER, names.ANNOTATION_KEY: token[:_SHOWN_CHARACTERS]}
    manifest = owned_object(agent, "v1", "Secret", agent.secret_name, component=VIRTUAL_KEY, annotations=annotations)
    return {**manifest, "type": "Opaque", "data": encode({names.API_KEY: key, names.BASE_URL: base_url})}


def gateway_token_secret(agent: OpenClawAgent, token: str) -> Manifest:
    """The Secret with the token that clients of the agent's gateway need."""
    manifest = owned_object(agent, "v1", "Secret", names.agent_gateway_token(agent.metadata.name), component="gateway")
    return {**manifest, "type": "Opaque", "data": encode({names.GATEWAY_TOKEN: token})}
