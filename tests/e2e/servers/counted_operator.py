"""The operator, which reports its memory, its open files, and the owners of strings in its memory.

Usage: counted_operator.py. POST /held with a regular expression answers with JSON:
  rss: resident memory in KiB; fds: the number of open files; events: the number of watch events so far;
  found: the number of matching strings by class and attribute that refers to them.

An hour passes sixty times as fast: periodic work is done sixty times as often.
"""

import asyncio
import gc
import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from litclaw.handlers.intake import Intake
from litclaw.handlers.operator import Operator
from litclaw.handlers.options import Options
from litclaw.reconcile.core import event_rate, intervals

intervals.UIDS_RESYNC /= 60
intervals.AGENT_RESYNC /= 60
event_rate.PAUSE_SECONDS /= 60
status = Path("/proc/self/status")
events = 0
handle = Intake.handle


def counted(self: Intake, event: str | None, body: Mapping[str, Any]) -> None:
    """Handle a watch event, and count it."""
    global events
    events += 1
    handle(self, event, body)


Intake.handle = counted


def holders(pattern: re.Pattern[str]) -> Counter[str]:
    """The owners of matching strings. The collector doesn't track dicts of strings, so we search them too."""
    found: Counter[str] = Counter()
    todo: list[Any] = gc.get_objects()
    seen = {id(each) for each in todo}
    for container in todo:
        for inner in gc.get_referents(container):
            if isinstance(inner, str):
                if pattern.search(inner):
                    found[f"{type(container).__name__} of {', '.join(owners(container))}"] += 1
            elif id(inner) not in seen and isinstance(inner, (dict, list, tuple, set, frozenset)):
                seen.add(id(inner))
                todo.append(inner)
    return found


def owners(container: Any) -> list[str]:
    """What refers to a container: a class and, if it is an attribute, its name."""
    names = []
    for owner in gc.get_referrers(container)[:6]:
        if isinstance(owner, dict):
            names += [f".{key}" for key, value in list(owner.items()) if value is container and isinstance(key, str)][
                :1
            ]
        elif not isinstance(owner, (list, tuple)):
            names.append(type(owner).__name__)
    return names


async def held(request: web.Request) -> web.Response:
    """Report."""
    pattern = re.compile(await request.text())
    re.purge()  # its cache would have the pattern itself
    gc.collect()
    rss = int(next(line for line in status.read_text().splitlines() if line.startswith("VmRSS")).split()[1])
    found = holders(pattern) if pattern.pattern else {}
    answer = {"rss": rss, "fds": len(os.listdir("/proc/self/fd")), "events": events, "found": found}
    return web.Response(text=json.dumps(answer))


async def main() -> None:
    """Run the operator and the report's server."""
    app = web.Application()
    app.router.add_post("/held", held)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, None, 8079).start()
    await Operator(Options(leader_elect=False, health=":8080")).run()


asyncio.run(main())
