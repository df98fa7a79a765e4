"""The operator, which kills itself at one boundary of one agent's reconcile: before or after an outgoing call.

Usage: dying_operator.py <agent> <boundary>

A boundary is, for example, ``2 after POST /key/update``: the second such call, when it has been answered; ``-`` is
none. The operator prints each boundary that it passes, so a run without one lists them all. It also kills itself if it
doesn't come to the boundary: some time after the last one that it has passed.
"""

import asyncio
import contextvars
import os
import re
import signal
import sys
import time
from collections import Counter
from typing import Any

from litclaw.handlers import work
from litclaw.handlers.operator import Operator
from litclaw.handlers.options import Options
from litclaw.kube.client import Kube
from litclaw.litellm.client import LiteLLM

agent, boundary = sys.argv[1:]
LIFE_SECONDS = 300
IDLE_SECONDS = 20 if boundary == "-" else 60
end = time.monotonic() + LIFE_SECONDS
signal.alarm(LIFE_SECONDS)
watched: contextvars.ContextVar[bool] = contextvars.ContextVar("watched", default=False)
KIND = re.compile(r"(?:/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/[^/]+(?=/))?/([^/]+)")
passed: Counter[str] = Counter()
reconcile = work.reconcile_agent


def at(what: str) -> None:
    """Pass a boundary, or die there."""
    if not watched.get():
        return
    signal.alarm(max(1, min(IDLE_SECONDS, int(end - time.monotonic()))))
    passed[what] += 1
    print(f"{passed[what]} {what}", flush=True)
    if f"{passed[what]} {what}" == boundary:
        os.kill(os.getpid(), signal.SIGKILL)


def watch(owner: type, name: str) -> None:
    """Report when a method is called and when it is done."""
    call = getattr(owner, name)

    async def watched_call(self: Any, method: str, path: str, *args: Any, **given: Any) -> Any:
        kind = KIND.match(path)[1] if owner is Kube else path
        what = f"{method} {kind}{'/status' if path.endswith('/status') else ''}"
        at(f"before {what}")
        answer = await call(self, method, path, *args, **given)
        at(f"after {what}")
        return answer

    setattr(owner, name, watched_call)


async def reconcile_agent(context: Any, namespace: str, name: str) -> float | None:
    """The operator's own function, watched for the one agent."""
    watched.set(name == agent)
    try:
        return await reconcile(context, namespace, name)
    finally:
        watched.set(False)


watch(Kube, "_request")
watch(LiteLLM, "_send")
work.reconcile_agent = reconcile_agent
# Without an election: each would have to wait until the Lease of the one that died before it has expired.
asyncio.run(Operator(Options(leader_elect=False)).run())
