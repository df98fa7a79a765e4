"""An agent's ConfigMap: openclaw.json and the user's own files."""

from ..api import names
from ..api.agent import AGENT_KIND, OpenClawAgent
from .metadata import Manifest, child


def agent_configmap(agent: OpenClawAgent, openclaw_json: str) -> Manifest:
    """The ConfigMap."""
    manifest = child(
        "v1", "ConfigMap", agent.config_map_name, owner_kind=AGENT_KIND, owner=agent.metadata, component="config"
    )
    return {**manifest, "data": {**agent.spec.config.files, names.OPENCLAW_JSON: openclaw_json}}
