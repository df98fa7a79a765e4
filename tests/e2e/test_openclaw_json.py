"""An agent's openclaw.json has the settings of the resource, the user's own part, and never the key."""

import hashlib
import json

from .kube import Kube
from .proxy import Proxy
from .resources import TEAM, agent
from .waiting import eventually


def test_openclaw_json_says_what_the_agent_asks_for(kube: Kube, proxy: Proxy) -> None:
    extra = {"logging": {"level": "debug"}, "models": {"mode": "merge"}, "agents": {"defaults": {"maxConcurrent": 2}}}
    spec = {
        "models": ["gpt-4o", "claude-opus-4-6", "gpt-image-2"],
        "defaultModel": "claude-opus-4-6",
        "fallbackModels": ["gpt-4o"],
        "imageModel": {"name": "gpt-image-2", "timeout": "3m"},
        "config": {
            "configMapName": "writer-config",
            "allowPrivateNetwork": "Never",
            "extra": extra,
            "files": {"AGENTS.md": "Write well."},
        },
    }
    kube.apply(agent("writer", **spec))
    body = kube.wait_ready("openclawagent", TEAM, "writer")
    data = kube.must("configmap", TEAM, "writer-config")["data"]
    config = json.loads(data["openclaw.json"])
    defaults = config["agents"]["defaults"]
    assert defaults["model"] == {"primary": "litellm/claude-opus-4-6", "fallbacks": ["litellm/gpt-4o"]}
    assert defaults["mediaModels"]["image"] == {"primary": "litellm/gpt-image-2", "timeoutMs": 180_000}
    assert (defaults["maxConcurrent"], config["logging"]["level"]) == (2, "debug"), "extra is merged deeply"
    assert config["models"]["mode"] == "replace", "the operator's own settings win"
    found = kube.condition("openclawagent", TEAM, "writer", "ConfigReady")
    assert (found["reason"], "models.mode" in found["message"]) == ("Overruled", True)
    assert "request" not in config["models"]["providers"]["litellm"], "Never is left out, not false"
    assert data["AGENTS.md"] == "Write well."
    key, status = kube.secret(TEAM, "writer-litellm")["LITELLM_API_KEY"], body["status"]
    assert key not in json.dumps(data)
    assert status["allowPrivateNetwork"] is False and status["configMapName"] == "writer-config"
    assert (status["secretName"], status["defaultModel"]) == ("writer-litellm", "claude-opus-4-6")
    assert status["key"]["hash"] == hashlib.sha256(key.encode()).hexdigest()[:8]
    assert (status["key"]["alias"], status["key"]["generation"]) == ("team-a/writer", 1)
    spec["config"]["allowPrivateNetwork"] = "Always"
    kube.apply(agent("writer", **spec))

    def opened() -> bool:
        text = kube.must("configmap", TEAM, "writer-config")["data"]["openclaw.json"]
        provider = json.loads(text)["models"]["providers"]["litellm"]
        return bool(provider.get("request") == {"allowPrivateNetwork": True})

    eventually(opened)
    spec["config"]["openclawVersion"] = "2026.7.35"
    kube.apply(agent("writer", **spec))

    def older() -> bool:
        text = kube.must("configmap", TEAM, "writer-config")["data"]["openclaw.json"]
        defaults = json.loads(text)["agents"]["defaults"]
        return defaults.get("imageGenerationModel") == {"primary": "litellm/gpt-image-2", "timeoutMs": 180_000}

    eventually(older, what="the layout of a release before mediaModels")
    spec["config"]["openclawVersion"] = "2025.1.1"
    kube.apply(agent("writer", **spec))
    found = kube.wait_condition("openclawagent", TEAM, "writer", "ConfigReady", "False", "OpenClawTooOld")
    assert "spec.config.openclawVersion" in found["message"]
    kube.delete("openclawagent", TEAM, "writer")
