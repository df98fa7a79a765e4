"""A bare kopf operator, as one would begin it: Litclaw's CPU an agent is compared with its. It runs as a process of its own.

It makes an agent's Secret and ConfigMap with the Kubernetes client and writes a status. It makes no key, renders no
configuration and repairs nothing. kopf's defaults come with it: finalizer, progress, last-handled configuration, events.
"""

from datetime import UTC, datetime
from typing import Any

import kopf
from kubernetes.aio import client, config

APPLY = {"field_manager": "bare", "force": True, "_content_type": "application/apply-patch+yaml"}
core: client.CoreV1Api


@kopf.on.startup()
async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Connect to the cluster."""
    global core
    settings.scanning.disabled = True  # the benchmark adds no CRDs
    await config.load_kube_config()
    core = client.CoreV1Api()


@kopf.on.create("litclaw.dev", "v1alpha1", "openclawagents")
@kopf.on.update("litclaw.dev", "v1alpha1", "openclawagents")
@kopf.on.resume("litclaw.dev", "v1alpha1", "openclawagents")
async def make(body: kopf.Body, name: str, namespace: str, patch: kopf.Patch, **_: Any) -> None:
    """Apply an agent's Secret and ConfigMap, and set its status to ready."""
    meta = {"name": f"{name}-bare", "labels": {"app.kubernetes.io/managed-by": "litclaw"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"LITELLM_API_KEY": name}}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"openclaw.json": "{}"}}
    kopf.adopt([secret, config_map], owner=body)
    await core.patch_namespaced_secret(meta["name"], namespace, secret, **APPLY)
    await core.patch_namespaced_config_map(meta["name"], namespace, config_map, **APPLY)
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Made",
        "message": "Its Secret and ConfigMap are there.",
        "observedGeneration": body["metadata"]["generation"],
        "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    patch.status["observedGeneration"] = body["metadata"]["generation"]
    patch.status["conditions"] = [ready]


@kopf.on.delete("litclaw.dev", "v1alpha1", "openclawagents")
async def end(**_: Any) -> None:
    """Nothing to do: the garbage collector deletes what the agent owns."""


if __name__ == "__main__":
    kopf.run(clusterwide=True, standalone=True)
