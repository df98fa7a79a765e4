"""An agent's ConfigMap: openclaw.json and the user's own files."""

from ..api import names
from ..api.agent import AGENT_KIND, OpenClawAgent
from .metadata import Manifest, child


def agent_configmap(agent: OpenClawAgent, openclaw_json: str, authorities: str = "") -> Manifest:
    """The ConfigMap.

    Args:
        openclaw_json: the rendered config.
        authorities: certificates that the proxy's own is checked against, in PEM; they are no secret.
    """
    manifest = child(
        "v1", "ConfigMap", agent.config_map_name, owner_kind=AGENT_KIND, owner=agent.metadata, component="config"
    )
    own = {names.OPENCLAW_JSON: openclaw_json, **({names.CA_CERTIFICATES: authorities} if authorities else {})}
    return {**manifest, "data": {**agent.spec.config.files, **own}}
