"""What the operator itself costs: agents a second, CPU and memory, beside the proxy's own rate in the same run.

Usage: python -m dev.bench [AGENTS]    (200 by default; CLUSTER as in dev/cluster.py)

Machines are noisy, so the figure to look at is the ratio: a mass of agents can't converge faster than LiteLLM makes
keys. Both are measured inside the cluster, one after the other, against the same proxy.
"""

import json
import sys
import time
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from .cluster import ROOT, Cluster, sayer, up
from .demo import wait_until

_SYSTEM = ("-n", "litclaw-system")
_IN_FLIGHT = 20

_RAW = """
import asyncio, json, sys, time
import httpx
url, key, count, flight = {url!r}, {key!r}, {count}, {flight}
run = int(time.time())
async def main():
    headers = {{"Authorization": f"Bearer {{key}}"}}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
        gate = asyncio.Semaphore(flight)
        async def one(number):
            async with gate:
                body = {{"key_alias": f"bench-raw-{{run}}-{{number}}", "metadata": {{"bench": True}}}}
                answer = await client.post("/key/generate", json=body)
                answer.raise_for_status()
                return answer.json()["token"]
        started = time.monotonic()
        tokens = await asyncio.gather(*(one(number) for number in range(count)))
        took = time.monotonic() - started
        for at in range(0, count, 100):
            await client.post("/key/delete", json={{"keys": tokens[at : at + 100]}})
        print(json.dumps({{"seconds": took}}))
asyncio.run(main())
"""

# What the rotation of a key is, in bare calls: read it, free its name, make the next one, see it accepted, give it its end.
_RAW_ROTATION = """
import asyncio, json, sys, time
import httpx
url, key, count, flight = {url!r}, {key!r}, {count}, {flight}
run = int(time.time())
async def main():
    headers = {{"Authorization": f"Bearer {{key}}"}}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
        gate = asyncio.Semaphore(flight)
        async def call(method, path, **given):
            answer = await client.request(method, path, **given)
            answer.raise_for_status()
            return answer.json()
        async def make(number):
            async with gate:
                return await call("POST", "/key/generate", json={{"key_alias": f"bench-turn-{{run}}-{{number}}", "max_budget": 5}})
        old = await asyncio.gather(*(make(number) for number in range(count)))
        async def turn(number, made):
            token = made["token"]
            async with gate:
                await call("GET", "/key/info", params={{"key": token}})
                await call("POST", "/key/update", json={{"key": token, "key_alias": f"bench-turned-{{run}}-{{number}}"}})
                new = await call("POST", "/key/generate", json={{"key_alias": f"bench-turn-{{run}}-{{number}}", "max_budget": 5}})
                await call("GET", "/key/info", headers={{"Authorization": f"Bearer {{new['key']}}"}})
                await call("POST", "/key/update", json={{"key": token, "duration": "3690s"}})
                return new["token"]
        started = time.monotonic()
        new = await asyncio.gather(*(turn(number, made) for number, made in enumerate(old)))
        took = time.monotonic() - started
        tokens = new + [made["token"] for made in old]
        for at in range(0, len(tokens), 100):
            await client.post("/key/delete", json={{"keys": tokens[at : at + 100]}})
        print(json.dumps({{"seconds": took}}))
asyncio.run(main())
"""

_USE = """
import json, os
fields = open("/proc/1/stat").read().rpartition(")")[2].split()
status = dict(line.split(":", 1) for line in open("/proc/1/status"))
cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
print(json.dumps({"cpu": cpu, "rss": int(status["VmRSS"].split()[0]) / 1024, "peak": int(status["VmHWM"].split()[0]) / 1024}))
"""


@dataclass(frozen=True)
class Use:
    """What the operator's process has used: CPU in seconds, memory in MiB now and at most."""

    cpu: float
    rss: float
    peak: float


def _python(cluster: Cluster, script: str) -> dict[str, float]:
    """Run a script in the pod of the operator that leads; it arrives on standard input, so that no argument holds a key."""
    holder = cluster.run(*_SYSTEM, "get", "lease", "litclaw", "-o", "jsonpath={.spec.holderIdentity}").stdout
    leader = holder.partition("_")[0]
    done = cluster.run(*_SYSTEM, "exec", "-i", leader, "--", "/opt/litclaw/bin/python", "-", stdin=script)
    printed: dict[str, float] = json.loads(done.stdout)
    return printed


def _use(cluster: Cluster) -> Use:
    return Use(**_python(cluster, _USE))


def _raw_seconds(cluster: Cluster, script: str, count: int) -> float:
    encoded = cluster.run(
        "-n", "ai", "get", "secret", "main-master-key", "-o", "go-template={{.data.LITELLM_MASTER_KEY | base64decode}}"
    ).stdout
    url = "http://main-litellm.ai.svc.cluster.local:4000"
    return _python(cluster, script.format(url=url, key=encoded, count=count, flight=_IN_FLIGHT))["seconds"]


def _agents(count: int) -> str:
    items = [
        {
            "apiVersion": "litclaw.dev/v1alpha1",
            "kind": "OpenClawAgent",
            "metadata": {"name": f"bench-{number:04}", "namespace": "team-a", "labels": {"bench": "yes"}},
            "spec": {"routeRef": {"name": "main", "namespace": "ai"}, "key": {"maxBudget": "5"}},
        }
        for number in range(count)
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _ready(cluster: Cluster) -> int:
    path = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}"
    done = cluster.run("-n", "team-a", "get", "openclawagents", "-l", "bench=yes", "-o", path)
    return done.stdout.split().count("True")


def _converge_seconds(cluster: Cluster, count: int) -> float:
    """From the first agent's creation to the last one's being ready."""
    started = time.monotonic()
    cluster.run("apply", "--server-side", "-f", "-", stdin=_agents(count))

    def look() -> tuple[bool, str]:
        ready = _ready(cluster)
        return ready == count, f"{ready} of {count} agents are ready"

    wait_until(look, seconds=900, what="the last agent")
    return time.monotonic() - started


def _rotation_seconds(cluster: Cluster, count: int) -> float:
    """From the making of a rotation until every new key is accepted and every old one has its end."""
    spec = {"selector": {"matchLabels": {"bench": "yes"}}, "gracePeriod": "1h", "maxConcurrent": _IN_FLIGHT}
    kind = {"apiVersion": "litclaw.dev/v1alpha1", "kind": "LiteLLMKeyRotation", "metadata": {"name": "bench"}}
    cluster.run("delete", "litellmkeyrotation", "bench", "--ignore-not-found")
    started = time.monotonic()
    cluster.run("apply", "--server-side", "-f", "-", stdin=json.dumps({**kind, "spec": spec}))

    def look() -> tuple[bool, str]:
        done = cluster.run("get", "litellmkeyrotation", "bench", "-o", "jsonpath={.status.phase} {.status.rotated}")
        return done.stdout == f"Retiring {count}", done.stdout

    wait_until(look, seconds=1800, what="the last key")
    took = time.monotonic() - started
    cluster.run("delete", "litellmkeyrotation", "bench")
    return took


def main(arguments: list[str]) -> int:
    """Run the benchmark; returns the exit status."""
    count = int(arguments[0]) if arguments else 200
    say = sayer()
    cluster = up(say)
    say("a LiteLLM with PostgreSQL (examples/quickstart)")
    cluster.run("apply", "--server-side", "-k", str(ROOT / "examples" / "quickstart"))
    cluster.run("-n", "ai", "wait", "litellmroute/main", "--for=condition=Ready", "--timeout=900s", timeout=1000)
    say(f"raw: {count} keys by /key/generate, {_IN_FLIGHT} in flight")
    raw = _raw_seconds(cluster, _RAW, count)
    before = _use(cluster)
    say(f"the operator: {count} agents from nothing to ready")
    took = _converge_seconds(cluster, count)
    after = _use(cluster)
    say(f"raw: the calls of {count} rotations, {_IN_FLIGHT} keys at a time")
    raw_rotation = _raw_seconds(cluster, _RAW_ROTATION, count)
    between = _use(cluster)
    say(f"the operator: a rotation of {count} keys, {_IN_FLIGHT} at a time")
    rotation = _rotation_seconds(cluster, count)
    rotated = _use(cluster)
    say("deleting them")
    started = time.monotonic()
    cluster.run("-n", "team-a", "delete", "openclawagents", "-l", "bench=yes", "--timeout=600s", timeout=700)
    gone = time.monotonic() - started
    uses = (before, after, between, rotated)
    _show(count, raw, took, raw_rotation, rotation, gone, uses)
    return 0


def _show(
    count: int, raw: float, took: float, raw_rotation: float, rotation: float, gone: float, uses: tuple[Use, ...]
) -> None:
    before, after, between, rotated = uses
    table = Table("Figure", "Value")
    table.add_row("raw /key/generate", f"{count / raw:.1f} keys/s")
    table.add_row("agents from nothing to ready", f"{count / took:.1f} agents/s")
    table.add_row("ratio to the raw rate", f"{raw / took:.2f}")
    table.add_row("operator's CPU an agent", f"{(after.cpu - before.cpu) / count * 1000:.1f} ms")
    table.add_row("the bare calls of a rotation", f"{count / raw_rotation:.1f} keys/s")
    table.add_row("keys rotated", f"{count / rotation:.1f} keys/s")
    table.add_row("ratio to the bare calls", f"{raw_rotation / rotation:.2f}")
    table.add_row("operator's CPU a rotated key", f"{(rotated.cpu - between.cpu) / count * 1000:.1f} ms")
    table.add_row(
        "operator's memory before, after, at most", f"{before.rss:.0f}, {rotated.rss:.0f}, {rotated.peak:.0f} MiB"
    )
    table.add_row("deleted, with their keys", f"{count / gone:.1f} agents/s")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
