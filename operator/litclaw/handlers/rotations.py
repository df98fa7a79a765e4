"""kopf's handler of LiteLLMKeyRotations: each event reconciles the rotation."""

from typing import Any

import kopf

from litclaw.api import names
from litclaw.handlers.intake import Intake
from litclaw.kube.resources import ROTATION


@kopf.on.event(names.API_VERSION, ROTATION.plural)
async def rotation_event(event: kopf.RawEvent, memo: Intake, **_: Any) -> None:
    """Store the object and enqueue it. The reconcile compares all of it with its spec, whatever the event was."""
    memo.handle(event["type"], event["object"])
