"""What the operator does for one agent: its writes to the cluster and its calls to LiteLLM, for clients that repeat them.

They are observed, not listed here. So the comparison follows the operator when it writes or calls less.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from litclaw.api import names

from ..demo import wait_until
from . import process
from .operator_pods import Operator
from .stage import AGENTS, HOME, INSTANT, Object, Stage, url_of
from .writes import Counting, Write

NAME = "samplebench"
_APPLY = "application/apply-patch+yaml"
_OF_SERVER = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "selfLink")
_KEY = re.compile(r'"key": ?"(sk-[^"]+)"')
AGENT_PATH = f"/apis/litclaw.dev/v1alpha1/namespaces/{AGENTS}/openclawagents"


@dataclass
class Sample:
    """One agent, and what the operator did for it.

    Attributes:
        agent: the agent, once it was ready.
        cluster: uid of the cluster, as in the metadata of its keys.
        children: its Secret and its ConfigMap, as they were applied.
        writes: the writes that made it ready, by kind.
        requests: those writes, as requests.
        reconfiguring: the write that changes its ConfigMap, as a request.
        keys: its first and its second key.
        making: the calls to LiteLLM that made the first key.
        rotating: the calls that replaced it by the second.
    """

    agent: Object = field(default_factory=dict)
    cluster: str = ""
    children: list[Object] = field(default_factory=list)
    writes: Counter[Write] = field(default_factory=Counter)
    requests: list[dict[str, str]] = field(default_factory=list)
    reconfiguring: list[dict[str, str]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    making: list[Object] = field(default_factory=list)
    rotating: list[Object] = field(default_factory=list)

    @property
    def uid(self) -> str:
        """The agent's uid."""
        return str(self.agent["metadata"]["uid"])

    def template(self) -> Object:
        """What the compiled client needs to prepare agents like this one (`go/prepare.go`), besides the master key."""
        return {
            "sample": NAME,
            "uid": self.uid,
            "key": self.keys[0],
            "finalizers": self.agent["metadata"]["finalizers"],
            "status": self.agent["status"],
            "children": self.children,
            "digest": names.ANNOTATION_DIGEST,
            "url": url_of(INSTANT),
            "making": self.making,
        }


def agent_spec(route: str, namespace: str = HOME) -> Object:
    """The spec of the benchmark's agents."""
    return {"routeRef": {"name": route, "namespace": namespace}, "key": {"maxBudget": "5"}}


def agent_manifest(name: str, spec: Object, **labels: str) -> Object:
    """One of the benchmark's agents."""
    meta = {"name": name, "namespace": AGENTS, "labels": labels}
    return {"apiVersion": "litclaw.dev/v1alpha1", "kind": "OpenClawAgent", "metadata": meta, "spec": spec}


def rotation_manifest(name: str, value: str, concurrent: int) -> Object:
    """A rotation of the agents whose label ``bench`` has a value."""
    meta = {"name": name, "labels": {"bench": "yes"}}
    spec = {"selector": {"matchLabels": {"bench": value}}, "gracePeriod": "1h", "maxConcurrent": concurrent}
    return {"apiVersion": "litclaw.dev/v1alpha1", "kind": "LiteLLMKeyRotation", "metadata": meta, "spec": spec}


def take(stage: Stage, operator: Operator) -> Sample:
    """Make an agent, rotate its key, and record what the operator does for it. The agent stays until the next `wipe`."""
    stage.instant("forget")
    counting = Counting(stage.cluster, ("POST", "openclawagents"), ("APPLY", "litellmroutes/status"))
    found = Sample()
    stage.cluster.run("create", "-f", "-", stdin=json.dumps(agent_manifest(NAME, agent_spec(INSTANT), bench="sample")))
    stage.cluster.run("-n", AGENTS, "wait", f"openclawagent/{NAME}", "--for=condition=Ready", "--timeout=60s")
    process.wait_for_quiet(operator, operator.wait_for_leader())  # the event comes after the status
    found.writes = counting.done()
    found.agent = stage.get("-n", AGENTS, "openclawagent", NAME)
    found.children = [body for kind in ("secrets", "configmaps") for _, body in _children(stage, kind)]
    found.requests = list(_requests(stage, found.agent, found.writes))
    found.reconfiguring = [_changed(each) for each in found.requests if "/configmaps/" in each["path"]]
    found.making = _key_calls(stage)
    stage.instant("forget")
    name = f"{NAME}-{int(time.time())}"
    stage.apply(rotation_manifest(name, "sample", 1))

    def check() -> tuple[bool, str]:
        status = stage.get("litellmkeyrotation", name).get("status") or {}
        return status.get("rotated") == 1, str(status)

    wait_until(check, seconds=60, what="the rotation of one key")
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
    """The calls about single keys. All others are the route's, and don't depend on the number of agents."""
    calls: list[Object] = stage.instant("journal")
    return [each for each in calls if each["path"].startswith("/key/") and each["path"] != "/key/list"]


def _changed(request: dict[str, str]) -> dict[str, str]:
    return {**request, "body": request["body"].replace("GPT-4o", "GPT-4o, changed"), "path": _forced(request["path"])}


def _forced(path: str) -> str:
    return path.replace("force=false", "force=true")


def _applied(body: Object) -> Object:
    """An object as it was applied, where it has one field manager."""
    meta = {name: value for name, value in body["metadata"].items() if name not in _OF_SERVER}
    return {**body, "metadata": meta}


def _requests(stage: Stage, agent: Object, counted: Counter[Write]) -> Iterator[dict[str, str]]:
    """The writes as requests, in the order in which the operator makes them.

    Raises:
        RuntimeError: it makes a write that this function doesn't know.
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
        raise RuntimeError(f"the benchmark doesn't know how to repeat these writes of the operator: {left}")


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
