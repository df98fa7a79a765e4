"""The operator, which kills itself at one boundary of one agent's reconcile: before or after a call to the outside.

Usage: dying_operator.py <agent> <boundary> <seconds>

It dies after so many seconds where it doesn't come to the boundary; ``-`` is none.

A boundary is such as ``2 after POST /key/update``: the second such call, when it has been answered. Each that is passed is
printed, so the first run lists them all.
"""

import asyncio
import contextvars
import os
import re
import signal
import sys
from collections import Counter
from typing import Any

from litclaw.handlers import work
from litclaw.handlers.operator import Operator
from litclaw.handlers.options import Options
from litclaw.kube.client import Kube
from litclaw.litellm.client import LiteLLM

agent, boundary, seconds = sys.argv[1:]
signal.alarm(int(seconds))
watched: contextvars.ContextVar[bool] = contextvars.ContextVar("watched", default=False)
KIND = re.compile(r"(?:/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/[^/]+(?=/))?/([^/]+)")
passed: Counter[str] = Counter()
reconcile = work.reconcile_agent


def at(what: str) -> None:
    """Pass a boundary, or die there."""
    if not watched.get():
        return
    passed[what] += 1
    print(f"{passed[what]} {what}", flush=True)
    if f"{passed[what]} {what}" == boundary:
        os.kill(os.getpid(), signal.SIGKILL)


def watch(owner: type, name: str) -> None:
    """Have a method say when it is called and when it is done."""
    call = getattr(owner, name)

    async def watched_call(self: Any, method: str, path: str, *args: Any, **given: Any) -> Any:
        kind = KIND.match(path)[1] if owner is Kube else path
        what = f"{method} {kind}{'/status' if path.endswith('/status') else ''}"
        at(f"before {what}")
        answer = await call(self, method, path, *args, **given)
        at(f"after {what}")
        return answer

    setattr(owner, name, watched_call)


async def reconcile_agent(world: Any, namespace: str, name: str) -> float | None:
    """The reconcile, watched where it is the agent's."""
    watched.set(name == agent)
    try:
        return await reconcile(world, namespace, name)
    finally:
        watched.set(False)


watch(Kube, "_request")
watch(LiteLLM, "_send")
work.reconcile_agent = reconcile_agent
# Without an election, since each would wait until the lease of the one that died before it has run out.
asyncio.run(Operator(Options(leader_elect=False)).run())
