"""What the operator does for one agent: its writes to the cluster and its calls to LiteLLM, to be repeated by others.

Nothing of it is written down here, so that what the operator is compared with follows the operator.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..demo import wait_until
from . import process
from .stage import AGENTS, HOME, Object, Operator, Stage
from .writes import Counting, Write

NAME = "samplebench"
_APPLY = "application/apply-patch+yaml"
_OF_SERVER = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "selfLink")
_KEY = re.compile(r'"key": ?"(sk-[^"]+)"')
_SPEC = {"routeRef": {"name": "instant", "namespace": HOME}, "key": {"maxBudget": "5"}}
AGENT_PATH = f"/apis/litclaw.dev/v1alpha1/namespaces/{AGENTS}/openclawagents"


@dataclass
class Sample:
    """One agent.

    Attributes:
        writes: how often what was written to make it ready.
        requests: those writes, as requests.
        reconfiguring: the write that changes its ConfigMap, as a request.
        keys: its first and its second key.
        making: the calls to LiteLLM that made the first.
        rotating: those that replaced it by the second.
    """

    uid: str = ""
    cluster: str = ""
    writes: Counter[Write] = field(default_factory=Counter)
    requests: list[dict[str, str]] = field(default_factory=list)
    reconfiguring: list[dict[str, str]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    making: list[Object] = field(default_factory=list)
    rotating: list[Object] = field(default_factory=list)


def agent_manifest(name: str, spec: Object, **labels: str) -> Object:
    """An agent of the benchmark's."""
    meta = {"name": name, "namespace": AGENTS, "labels": labels}
    return {"apiVersion": "litclaw.dev/v1alpha1", "kind": "OpenClawAgent", "metadata": meta, "spec": spec}


def rotation_manifest(name: str, value: str, concurrent: int) -> Object:
    """A rotation of the agents that have a label ``bench`` of a value."""
    meta = {"name": name, "labels": {"bench": "yes"}}
    spec = {"selector": {"matchLabels": {"bench": value}}, "gracePeriod": "1h", "maxConcurrent": concurrent}
    return {"apiVersion": "litclaw.dev/v1alpha1", "kind": "LiteLLMKeyRotation", "metadata": meta, "spec": spec}


def take(stage: Stage, operator: Operator) -> Sample:
    """Make an agent and rotate its key, and write down what the operator does for it. Both stay until the next `wipe`."""
    stage.instant("forget")
    counting = Counting(stage.cluster, ("POST", "openclawagents"), ("APPLY", "litellmroutes/status"))
    found = Sample()
    stage.cluster.run("create", "-f", "-", stdin=json.dumps(agent_manifest(NAME, _SPEC, bench="sample")))
    stage.cluster.run("-n", AGENTS, "wait", f"openclawagent/{NAME}", "--for=condition=Ready", "--timeout=60s")
    process.wait_for_quiet(operator, operator.wait_for_leader())  # the event comes after the status
    found.writes = counting.done()
    body = stage.get("-n", AGENTS, "openclawagent", NAME)
    found.uid = body["metadata"]["uid"]
    found.requests = list(_requests(stage, body, found.writes))
    found.reconfiguring = [_changed(each) for each in found.requests if "/configmaps/" in each["path"]]
    found.making = _key_calls(stage)
    stage.instant("forget")
    name = f"{NAME}-{int(time.time())}"
    stage.apply(rotation_manifest(name, "sample", 1))

    def look() -> tuple[bool, str]:
        status = stage.get("litellmkeyrotation", name).get("status") or {}
        return status.get("rotated") == 1, str(status)

    wait_until(look, seconds=60, what="the rotation of one key")
    time.sleep(1)
    found.rotating = _key_calls(stage)
    stage.cluster.run("delete", "litellmkeyrotation", name)
    made = [match[1] for each in (*found.making, *found.rotating) for match in _KEY.finditer(json.dumps(each))]
    found.keys = list(dict.fromkeys(made))
    if len(found.keys) != 2:
        raise RuntimeError(f"a new agent and a rotation make two keys, not {len(found.keys)}")
    found.cluster = stage.get("namespace", "kube-system")["metadata"]["uid"]
    return found


def _key_calls(stage: Stage) -> list[Object]:
    """What was called about single keys; the rest is the route's own, however many agents there are."""
    calls: list[Object] = stage.instant("journal")
    return [each for each in calls if each["path"].startswith("/key/") and each["path"] != "/key/list"]


def _changed(request: dict[str, str]) -> dict[str, str]:
    return {**request, "body": request["body"].replace("GPT-4o", "GPT-4o, changed"), "path": _forced(request["path"])}


def _forced(path: str) -> str:
    return path.replace("force=false", "force=true")


def _applied(body: Object) -> Object:
    """An object as it was applied, by one who alone has applied it."""
    meta = {name: value for name, value in body["metadata"].items() if name not in _OF_SERVER}
    return {**body, "metadata": meta}


def _requests(stage: Stage, agent: Object, counted: Counter[Write]) -> Iterator[dict[str, str]]:
    """The writes as requests, in the order in which the operator makes them.

    Raises:
        RuntimeError: it makes one that isn't known here.
    """
    left = dict(counted)
    frame = {"apiVersion": agent["apiVersion"], "kind": agent["kind"]}
    named = {"name": NAME, "namespace": AGENTS, "uid": agent["metadata"]["uid"]}
    known: list[tuple[str, list[tuple[str, Any]]]] = [
        (
            "openclawagents",
            [(f"{AGENT_PATH}/{NAME}", {**frame, "metadata": {**named, "finalizers": agent["metadata"]["finalizers"]}})],
        ),
        ("secrets", _children(stage, "secrets")),
        ("configmaps", _children(stage, "configmaps")),
        (
            "openclawagents/status",
            [(f"{AGENT_PATH}/{NAME}/status", {**frame, "metadata": named, "status": agent["status"]})],
        ),
        ("events", _children(stage, "events")),
    ]
    for resource, objects in known:
        for verb in ("APPLY", "POST"):
            count = left.pop((verb, resource), 0)
            for number in range(count):
                path, body = objects[number % len(objects)]
                yield _request(verb, path, body)
    if left:
        raise RuntimeError(f"the benchmark doesn't know how to make these writes of the operator's: {left}")


def _request(verb: str, path: str, body: Object) -> dict[str, str]:
    text = json.dumps(body)
    if verb == "POST":
        return {
            "method": "POST",
            "path": f"{path.rpartition('/')[0]}?fieldManager=bench",
            "type": "application/json",
            "body": text,
        }
    force = "true" if "/openclawagents/" in path else "false"
    return {"method": "PATCH", "path": f"{path}?fieldManager=bench&force={force}", "type": _APPLY, "body": text}


def _children(stage: Stage, resource: str) -> list[tuple[str, Object]]:
    """The sample's objects of a kind, with their paths."""
    items = stage.get("-n", AGENTS, resource, "-l", "app.kubernetes.io/managed-by=litclaw")["items"]
    ours = [each for each in items if each["metadata"]["name"].startswith(NAME)]
    kept = [
        {
            **each,
            "apiVersion": "v1",
            "kind": {"secrets": "Secret", "configmaps": "ConfigMap", "events": "Event"}[resource],
        }
        for each in ours
    ]
    return [(f"/api/v1/namespaces/{AGENTS}/{resource}/{each['metadata']['name']}", _applied(each)) for each in kept]
