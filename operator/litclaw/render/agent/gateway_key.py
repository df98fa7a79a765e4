"""The container beside a gateway that delivers the key, and each new one, without a restart.

OpenClaw accepts a key only from a regular file that its own user owns and nobody else can read. A mounted Secret is a
symlink to a file that root owns. So this container copies the key into a volume in memory and, when it has changed,
makes the gateway read it again. It doesn't depend on the operator. A marker file survives a kill between the two steps.
"""

from typing import Any

from litclaw.api import names
from litclaw.render.openclaw.config import KEY_DIR
from litclaw.render.pod_security import CONTAINER_SECURITY

SECRET_DIR = "/etc/litclaw/key"
_POLL_SECONDS = 2
_STATE = {"name": "OPENCLAW_STATE_DIR", "value": "/tmp/key"}

# The value is only in a shell variable: never in an argument, never in the output.
_SCRIPT = f"""
umask 077
from={SECRET_DIR}/{names.API_KEY} to={KEY_DIR}/{names.API_KEY} changed={KEY_DIR}/changed
while :; do
  key=$(cat "$from" 2>/dev/null)
  if [ -n "$key" ] && [ "$key" != "$(cat "$to" 2>/dev/null)" ]; then
    if [ -e "$to" ]; then : >"$changed"; fi
    printf %s "$key" >"$to.new" && mv "$to.new" "$to"
  fi
  if [ -e "$changed" ] && node openclaw.mjs secrets reload; then rm "$changed"; fi
  sleep {_POLL_SECONDS}
done
""".strip()


def key_container(image: str, env: list[dict[str, Any]], mounts: list[dict[str, Any]]) -> dict[str, Any]:
    """The sidecar container, for ``initContainers``: it starts before the gateway and runs beside it (Kubernetes 1.29).

    Args:
        image: the gateway's image.
        env: the gateway's environment, with which the reload finds the gateway and its token.
        mounts: the gateway's volume mounts that the reload needs.
    """
    return {
        "name": "key",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "command": ["sh", "-c", _SCRIPT],
        # A state of its own: before 2026.7.1, running `openclaw agent` in the gateway's state breaks every later
        # reload.
        "env": [*(entry for entry in env if entry["name"] != _STATE["name"]), _STATE],
        "startupProbe": {
            "exec": {"command": ["test", "-s", f"{KEY_DIR}/{names.API_KEY}"]},
            "periodSeconds": 1,
            "failureThreshold": 300,
        },
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [
            *mounts,
            {"name": "secret", "mountPath": SECRET_DIR, "readOnly": True},
            {"name": "key", "mountPath": KEY_DIR},
        ],
    }
