"""kopf's handler of Namespaces: each event reconciles the agents of the namespace, because routes select by its labels."""

from typing import Any

import kopf

from litclaw.handlers.intake import Intake
from litclaw.kube.resources import NAMESPACE


@kopf.on.event(NAMESPACE.api_version, NAMESPACE.plural)
async def namespace_event(event: kopf.RawEvent, memo: Intake, **_: Any) -> None:
    """Store the namespace and enqueue its agents."""
    memo.handle(event["type"], event["object"])
