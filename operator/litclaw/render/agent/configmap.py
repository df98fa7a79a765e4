"""An agent's ConfigMap: openclaw.json and the user's own files."""

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.render.metadata import Manifest
from litclaw.render.owned import of_agent


def agent_configmap(agent: OpenClawAgent, openclaw_json: str, authorities: str = "") -> Manifest:
    """The ConfigMap.

    Args:
        openclaw_json: the rendered config.
        authorities: certificates that the proxy's own is checked against, in PEM; they are no secret.
    """
    manifest = of_agent(agent, "v1", "ConfigMap", agent.config_map_name, component="config")
    own = {names.OPENCLAW_JSON: openclaw_json, **({names.CA_CERTIFICATES: authorities} if authorities else {})}
    return {**manifest, "data": {**agent.spec.config.files, **own}}
