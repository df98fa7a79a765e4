"""An agent's ConfigMap: openclaw.json, the proxy's CA certificates and the user's files."""

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.render.metadata import Manifest, owned_object


def agent_configmap(agent: OpenClawAgent, openclaw_json: str, authorities: str = "") -> Manifest:
    """The ConfigMap.

    Args:
        agent: the resource.
        openclaw_json: the rendered config.
        authorities: CA certificates, in PEM, that the proxy's certificate is verified against. They aren't secret.
    """
    manifest = owned_object(agent, "v1", "ConfigMap", agent.config_map_name, component="config")
    own = {names.OPENCLAW_JSON: openclaw_json, **({names.CA_CERTIFICATES: authorities} if authorities else {})}
    return {**manifest, "data": {**agent.spec.config.files, **own}}
