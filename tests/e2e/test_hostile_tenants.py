"""A tenant does to the operator whatever a tenant can, and another one notices nothing.

The hostile tenant has routes to the worst of proxies, objects that are as large as the API server takes them, resources with
absurd values, and changes that never end, all at once. Meanwhile the healthy tenant's agents get keys, rotate and heal. Time
decides nothing: the attacks go on until the healthy tenant has done all that.

docs/design/hostile-tenants.md has a table of the attacks.
"""

import contextlib
import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Self

import httpx
import pytest

from .api import Object
from .direct import api_server, at_once
from .kube import Kube
from .operators import SYSTEM, crashes, failures, now, peaks
from .pods import python_server
from .proxy import Proxy
from .resources import AI, TEAM, agent, namespace, resource, secret
from .waiting import LONG_SECONDS, eventually

HOSTILE = "team-x"
API = "/apis/litclaw.dev/v1alpha1"
AGENTS = f"{API}/namespaces/{HOSTILE}/openclawagents"
CORE = f"/api/v1/namespaces/{HOSTILE}"
MERGE = {"Content-Type": "application/merge-patch+json"}
OURS = {"app.kubernetes.io/managed-by": "litclaw"}
REASONS = {
    "hang": "Unreachable",
    "drip": "Unreachable",
    "large": "Unreachable",
    "headers": "",
    "huge": "NotLiteLLM",
    "bomb": "NotLiteLLM",
    "utf8": "NotLiteLLM",
    "endless": "NotLiteLLM",
    "odd": "NotLiteLLM",
    "forged": "NotLiteLLM",
}
"""Of each proxy that can't be used, what its route says; empty: any reason. See servers/overwhelming.py."""
USABLE = ("date", "names", "stuck")
ENDLESS = ("marked",)
"""Proxies that are read for as long as the test runs."""
STUCK = 20
"""Agents of a proxy that never answers: more than the operator has workers."""
BIG = 20
STEERING = {"opted_out_global_guardrails": ["all"], "allow_client_pricing_override": True, "note": "${HOME}"}
ROTATIONS = 500
ROUNDS = 3
"""Of the healthy tenant, beside everything else."""
MOST_KEYS = 12
"""Of one agent that is rotated all the time: the live one, ten old ones (`MOST_OLD`), one in creation."""
MOST_MEMORY = 0.95
"""Of the operator's limit."""


# The attacks that stand


def _routes(cluster: str) -> list[Object]:
    """Two routes to each proxy, for all namespaces."""
    reference = {"name": "hard", "key": "LITELLM_MASTER_KEY"}
    # The proxy has learnt the cluster's uid from the marks of keys that it was given.
    ways = [f"{way}-{cluster}" if way in ("marked", "forged") else way for way in (*REASONS, *USABLE, *ENDLESS)]
    found = []
    for way, number in itertools.product(ways, range(2)):
        url = f"http://overwhelming.{AI}.svc.cluster.local:8080/{way}"
        spec = {"external": {"url": url, "masterKeySecretRef": reference}, "allowedNamespaces": {"from": "All"}}
        found.append(resource("LiteLLMRoute", f"{way.partition('-')[0]}-{number}", AI, spec))
    # A name whose servers don't answer, if DNS lets it out at all, and an address that nobody is at.
    for name, url in (("nowhere", "http://nowhere.invalid:4000"), ("silent", "http://192.0.2.1:4000")):
        found.append(resource("LiteLLMRoute", name, AI, {"external": {"url": url, "masterKeySecretRef": reference}}))
    return found


def _agent(name: str, *, route: str = "main", **spec: Any) -> Object:
    return resource("OpenClawAgent", name, HOSTILE, {"routeRef": {"name": route, "namespace": AI}, **spec})


def _agents() -> list[Object]:
    """Agents of the hostile tenant, each with what it tries."""
    return [
        # A file of a megabyte, in a text that Python keeps at four bytes a character.
        *(_agent(f"big-{number}", config={"files": {"big.md": "🦊" + "x" * 900_000}}) for number in range(BIG)),
        # Each pass over them waits for a call that is never answered.
        *(_agent(f"stuck-{number}", route="stuck-0") for number in range(STUCK)),
        # A proxy whose models are references to the environment, and what a terminal obeys.
        _agent("lured", route="names-0"),
        # A name that is another tenant's.
        _agent("thief", key={"alias": f"{TEAM}/healthy-0-0"}),
        # What LiteLLM would obey at the top level of a key's metadata.
        _agent("steering", key={"metadata": STEERING}),
        # Metadata that would make a hundred keys too large for one response, and one that looks as if it did.
        _agent("stout", key={"metadata": {"note": "x" * 50_000}}),
        _agent("commas", key={"metadata": {"note": ",[{:" * 1_000}}),
        # One Secret for two.
        *(_agent(f"twin-{number}", key={"secretName": "shared"}) for number in range(2)),
        # Old keys that stay valid for a week, and a rotation with each change of the annotation.
        _agent("spinner", key={"rotation": {"gracePeriod": "168h"}}),
        # Changes as fast as the API server takes them.
        _agent("busy"),
        # A status that says what it likes.
        _agent("forged"),
        # A finalizer that nobody removes.
        _with(_agent("kept"), finalizers=["example.com/mine"]),
        # Annotations of ours, with garbage, and more of them than fit into the cache.
        _with(
            _agent("noted"),
            annotations={f"litclaw.dev/{name}": "\u202e" * 9_000 for name in ("digest", "made", "retained")},
        ),
    ]


def _with(body: Object, **metadata: Any) -> Object:
    return {**body, "metadata": {**body["metadata"], **metadata}}


def _claiming(name: str, owner: Object, **more: Any) -> Object:
    """Metadata with our label, that names an agent as the owner."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    return {"metadata": {"name": name, "labels": OURS, "ownerReferences": [reference], **more}}


def _large_objects(owner: Object) -> Iterator[tuple[str, Callable[[], Object]]]:
    """Objects with our label, each with the URL where it is created: with as many fields as fit into an object, or as large."""

    def many_keys(number: int) -> Object:
        # 1.1 MB: the API server keeps each name twice, because managedFields has it too.
        data = dict.fromkeys((f"k{each}-{number}" for each in range(35_000)), "")
        return {"metadata": {"name": f"keys-{number}", "labels": OURS}, "data": data}

    def large_value(number: int) -> Object:
        return {"metadata": {"name": f"large-{number}", "labels": OURS}, "stringData": {"a": "x" * 700_000}}

    def many_variables(number: int) -> Object:
        """It claims to be an agent's, and runs nothing."""
        env = [{"name": f"V{each}", "value": ""} for each in range(5_000)]
        template = {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "x", "image": "x", "env": env}]},
        }
        spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}
        return {**_claiming(f"large-{number}", owner), "spec": spec}

    def small_claim(number: int) -> Object:
        noted = {f"litclaw.dev/{name}": "garbage" for name in ("digest", "key", "made", "salt", "former-ports")}
        return {**_claiming(f"claim-{number}", owner, annotations=noted), "data": {"a": "b"}}

    for path, make, count in (
        (f"{CORE}/configmaps", many_keys, 60),
        (f"{CORE}/secrets", large_value, 20),
        (f"/apis/apps/v1/namespaces/{HOSTILE}/deployments", many_variables, 20),
        (f"{CORE}/configmaps", small_claim, 100),
    ):
        yield from ((path, partial(make, number)) for number in range(count))


# The attacks that go on


class Noise:
    """What the hostile tenant does again and again, each in a thread of its own.

    Attributes:
        turns: how often each was done.
    """

    def __init__(self, client: httpx.Client) -> None:
        self.turns: Counter[str] = Counter()
        self._client = client
        self._stop = threading.Event()
        loops = (self.rotate, self.change, self.spoil, self.come_and_go, self.twist)
        self._threads = [threading.Thread(target=self._repeat, args=(loop,)) for loop in loops]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, loop: Callable[[int], None]) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(httpx.HTTPError):  # the API server may defend itself
                loop(self.turns[loop.__name__])
                self.turns[loop.__name__] += 1

    def _patch(self, url: str, body: Object) -> None:
        self._client.patch(url, json=body, headers=MERGE)

    def rotate(self, turn: int) -> None:
        """Ask for another key."""
        self._stop.wait(0.0 if turn < ROTATIONS else 0.2)
        self._patch(f"{AGENTS}/spinner", {"metadata": {"annotations": {"litclaw.dev/rotate": str(turn)}}})

    def change(self, turn: int) -> None:
        """Change an agent, and with it the limits of its key."""
        self._patch(f"{AGENTS}/busy", {"spec": {"key": {"rpmLimit": 1 + turn % 1_000}}})

    def spoil(self, turn: int) -> None:
        """Spoil what the operator has made."""
        annotations = {f"litclaw.dev/{name}": f"garbage-{turn}" for name in ("digest", "key")}
        label = {"app.kubernetes.io/managed-by": ("nobody", None, "litclaw")[turn % 3]}
        for path in ("secrets/busy-litellm", "configmaps/busy-openclaw"):
            self._patch(f"{CORE}/{path}", {"metadata": {"annotations": annotations, "labels": label}})
        self._stop.wait(0.5)

    def come_and_go(self, turn: int) -> None:
        """Create a namespace with agents, and delete it at once."""
        name = f"{HOSTILE}-{turn}"
        self._client.post("/api/v1/namespaces", json=namespace(name))
        for number in range(2):
            body = _agent(f"brief-{number}", key={"deletionPolicy": "Retain"} if number else {})
            del body["metadata"]["namespace"]
            self._client.post(f"{API}/namespaces/{name}/openclawagents", json=body)
        self._client.delete(f"/api/v1/namespaces/{name}")
        while self._client.get(f"/api/v1/namespaces/{name}").is_success and not self._stop.wait(0.5):
            pass

    def twist(self, turn: int) -> None:
        """Write statuses: of an agent, a route and a rotation."""
        key = {"generation": 2**63 - 1, "alias": "\x1b[2J" * 1_000, "hash": "x"}
        status = {
            "key": key,
            "spend": "much",
            "budgetResetsAt": "9999-12-31T23:59:59+23:59",
            "defaultModel": "m" * 200_000,
        }
        self._patch(f"{AGENTS}/forged/status", {"status": status})
        proxies = [
            {
                "url": f"http://thief.{AI}.svc.cluster.local:8080",
                "masterKeySecretRef": {"name": "hard", "key": "LITELLM_MASTER_KEY"},
                "leftAt": "2999-01-01t00:00:00z",
            }
        ]
        self._patch(f"{API}/namespaces/{AI}/litellmroutes/date-0/status", {"status": {"proxies": proxies}})
        begun = {"status": {"phase": "Running", "startedAt": "2999-01-01T00:00:00Z"}}
        self._patch(
            f"{API}/litellmkeyrotations/hostile/status", begun if turn < 3 else {"status": {"phase": "Running"}}
        )
        self._stop.wait(0.5)


# The scene


@pytest.fixture(scope="module")
def client(kube: Kube) -> Iterator[httpx.Client]:
    """The API server."""
    with api_server(kube) as found:
        yield found


@pytest.fixture(scope="module")
def attacked(kube: Kube, proxy: Proxy, client: httpx.Client) -> Iterator[str]:
    """All that stands; yields the time before it."""
    started, cluster = now(), kube.must("namespace", "", "kube-system")["metadata"]["uid"]
    kube.apply(namespace(HOSTILE), secret("hard", LITELLM_MASTER_KEY="sk-the-master-key-of-hard-proxies"))
    kube.apply(*python_server("overwhelming", "overwhelming", 8080))
    kube.run("-n", AI, "rollout", "status", "deployment/overwhelming", "--timeout=300s")
    routes, agents = _routes(cluster), _agents()
    kube.apply(*routes)
    for answer in at_once(lambda body: client.post(AGENTS, json=body), agents):
        assert answer.is_success, answer.text[:500]
    owner = kube.must("openclawagent", HOSTILE, "busy")
    for answer in at_once(lambda each: client.post(each[0], json=each[1]()), list(_large_objects(owner))):
        assert answer.is_success, answer.text[:500]
    covered = {"matchLabels": {"kubernetes.io/metadata.name": HOSTILE}}
    rotation = resource("LiteLLMKeyRotation", "hostile", "", {"namespaceSelector": covered, "gracePeriod": "0s"})
    answer = client.post(f"{API}/litellmkeyrotations", json={**rotation, "metadata": {"name": "hostile"}})
    assert answer.is_success, answer.text
    yield started
    with kube.forward(AI, "service/overwhelming", 8080) as url:
        httpx.put(f"{url}/calm", trust_env=False)
    # Without what somebody else has written into it, a status names no proxy that its route would wait for.
    client.patch(f"{API}/namespaces/{AI}/litellmroutes/date-0/status", json={"status": {"proxies": []}}, headers=MERGE)
    # Without their routes, the agents needn't wait for a proxy that doesn't answer.
    kube.run("-n", AI, "delete", "llr", *(body["metadata"]["name"] for body in routes), "--timeout=600s")
    kube.run("delete", "llkr", "hostile")
    client.patch(f"{AGENTS}/kept", json={"metadata": {"finalizers": None}}, headers=MERGE)
    kube.run("delete", "namespace", HOSTILE, "--timeout=600s")
    eventually(lambda: not _brief_namespaces(kube), timeout=LONG_SECONDS, what="the end of the other namespaces")
    kube.run("-n", AI, "delete", "deployment,service,secret", "overwhelming")
    kube.run("-n", AI, "delete", "secret", "hard")


def _brief_namespaces(kube: Kube) -> list[str]:
    names = [body["metadata"]["name"] for body in kube.list("namespaces")]
    return [name for name in names if name.startswith(f"{HOSTILE}-")]


def _key(kube: Kube, name: str) -> str:
    return kube.secret(TEAM, f"{name}-litellm")["LITELLM_API_KEY"]


def _lives(kube: Kube, proxy: Proxy, turn: int) -> None:
    """The healthy tenant creates three agents, calls models, rotates, loses Secrets, and deletes the agents."""
    names = [f"healthy-{turn}-{number}" for number in range(3)]

    def another(name: str, before: str) -> str:
        def look() -> str:
            key = _key(kube, name)
            assert key != before and proxy.chat(key).status_code == 200
            return key

        return eventually(look, timeout=LONG_SECONDS, what=f"another key of {name} that is accepted")

    kube.apply(*(agent(name) for name in names))
    uids = [kube.wait_ready("openclawagent", TEAM, name, timeout=LONG_SECONDS)["metadata"]["uid"] for name in names]
    first = {name: _key(kube, name) for name in names}
    assert [proxy.chat(key).status_code for key in first.values()] == [200] * len(names)
    for name in names:
        kube.patch("openclawagent", TEAM, name, {"metadata": {"annotations": {"litclaw.dev/rotate": "once"}}})
    rotated = {name: another(name, key) for name, key in first.items()}
    for name in names:
        kube.delete("secret", TEAM, f"{name}-litellm")
    for name, key in rotated.items():
        another(name, key)
    kube.run("-n", TEAM, "delete", "oca", *names, f"--timeout={LONG_SECONDS:.0f}s")
    eventually(lambda: not any(map(proxy.rows, uids)), timeout=LONG_SECONDS, what="the end of the keys")


def _check_operators(kube: Kube, before: dict[str, list[Object]], since: str) -> None:
    """No pod of the operator has crashed or come near its memory limit, and nothing was a surprise to it."""
    assert crashes(kube) == before, "the same pods, and none has crashed"
    found = peaks(kube)
    print(f"memory of the limit: {found}")
    assert max(found.values()) < MOST_MEMORY, found
    events = [
        event
        for event in kube.list("events")
        if event.get("reason") == "InternalError" and event["metadata"]["creationTimestamp"] >= since
    ]
    assert not events, json.dumps(events)[:2_000]
    assert not (lines := failures(kube, since)), lines[:3]


# What holds


def test_agents_of_a_healthy_tenant_converge_rotate_and_heal_beside_all_attacks(
    kube: Kube, proxy: Proxy, client: httpx.Client, attacked: str
) -> None:
    before = crashes(kube)
    with Noise(client) as noise:
        for turn in range(ROUNDS):
            _lives(kube, proxy, turn)
        eventually(lambda: noise.turns["rotate"] >= ROTATIONS, timeout=LONG_SECONDS)
        eventually(lambda: noise.turns["come_and_go"] >= ROUNDS, timeout=LONG_SECONDS)
    print(f"attacks: {dict(noise.turns)}")
    _check_operators(kube, before, attacked)


def test_each_hostile_proxy_is_reported_at_its_own_route(kube: Kube, attacked: str) -> None:
    for way, reason in REASONS.items():
        for number in range(2):
            kube.wait_condition("litellmroute", AI, f"{way}-{number}", "ProxyReady", "False", reason)
    for name in ("nowhere", "silent"):
        kube.wait_condition("litellmroute", AI, name, "ProxyReady", "False", "Unreachable")
    for way in USABLE:
        kube.wait_ready("litellmroute", AI, f"{way}-0")
    kube.wait_condition("openclawagent", HOSTILE, "stuck-0", "KeyReady", "False", "ProxyUnavailable")
    # No reference, no control character and no megabyte has got through.
    status = kube.wait_ready("litellmroute", AI, "names-0")["status"]
    assert (status["models"], status["version"]) == (1, "1.106.2")
    assert all(each["message"].isprintable() for each in status["conditions"])
    kube.wait_condition("openclawagent", HOSTILE, "lured", "ConfigReady", "True")
    text = kube.must("configmap", HOSTILE, "lured-openclaw")["data"]["openclaw.json"]
    assert text.replace("${LITELLM_API_KEY}", "").count("${") == 0, text


def test_each_hostile_agent_has_what_it_is_due(kube: Kube, proxy: Proxy, attacked: str) -> None:
    for number in range(BIG):
        kube.wait_ready("openclawagent", HOSTILE, f"big-{number}", timeout=LONG_SECONDS)
    for name in ("steering", "commas", "noted", "busy", "spinner"):
        kube.wait_ready("openclawagent", HOSTILE, name, timeout=LONG_SECONDS)
    kube.wait_condition("openclawagent", HOSTILE, "thief", "KeyReady", "False", "AliasReserved")
    kube.wait_condition("openclawagent", HOSTILE, "stout", "Ready", "False", "InvalidSpec")
    uid = kube.must("openclawagent", HOSTILE, "steering")["metadata"]["uid"]
    rows = proxy.rows(uid)
    assert rows and not any(STEERING.keys() & row["metadata"].keys() for row in rows), rows
    # Of two agents with one Secret, one has it.
    eventually(
        lambda: _reasons(kube, "twin-0", "twin-1") == {"Live", "NameTaken"}, what="one of two agents with the Secret"
    )
    # However often it is rotated, it has some keys, and the last one works.
    uid = kube.must("openclawagent", HOSTILE, "spinner")["metadata"]["uid"]
    eventually(lambda: 0 < len(proxy.rows(uid)) <= MOST_KEYS, what="a bounded number of keys")
    assert proxy.chat(kube.secret(HOSTILE, "spinner-litellm")["LITELLM_API_KEY"]).status_code == 200
    # What was spoiled is as it should be.
    for kind, name in (("secret", "busy-litellm"), ("configmap", "busy-openclaw")):
        labelled = f"{kind} {name} with our label"
        eventually(partial(_is_ours, kube, kind, name), what=labelled)
    # The status is the operator's again, and no later generation exceeds what a number may be.
    kube.wait_ready("openclawagent", HOSTILE, "forged", timeout=LONG_SECONDS)
    eventually(lambda: kube.must("openclawagent", HOSTILE, "forged")["status"]["key"]["generation"] < 2**32)
    # A rotation that was to have begun in the future has begun, and ends.
    eventually(
        lambda: kube.must("llkr", "", "hostile")["status"]["startedAt"] < "2999",
        timeout=LONG_SECONDS,
        what="a rotation",
    )
    # A deletion that somebody else holds up keeps no key.
    uid = kube.must("openclawagent", HOSTILE, "kept")["metadata"]["uid"]
    kube.run("-n", HOSTILE, "delete", "oca", "kept", "--wait=false")
    eventually(lambda: not proxy.rows(uid), what="the end of the key of an agent with a foreign finalizer")
    eventually(lambda: kube.must("openclawagent", HOSTILE, "kept")["metadata"]["finalizers"] == ["example.com/mine"])


def _is_ours(kube: Kube, kind: str, name: str) -> bool:
    labels: Object = kube.must(kind, HOSTILE, name)["metadata"]["labels"]
    return labels.items() >= OURS.items()


def _reasons(kube: Kube, *names: str) -> set[str]:
    return {kube.condition("openclawagent", HOSTILE, name, "KeyReady")["reason"] for name in names}


def test_an_operator_that_starts_beside_all_that_gets_to_work(
    kube: Kube, proxy: Proxy, client: httpx.Client, attacked: str
) -> None:
    """A process that starts reads everything there is, page by page."""
    with Noise(client):
        since = now()
        kube.run("-n", SYSTEM, "rollout", "restart", "deployment/litclaw")
        kube.run("-n", SYSTEM, "rollout", "status", "deployment/litclaw", "--timeout=600s")
        before = eventually(lambda: _settled(kube), timeout=LONG_SECONDS, what="the end of the pods from before")
        _lives(kube, proxy, ROUNDS)
    _check_operators(kube, before, since)


def _settled(kube: Kube) -> dict[str, list[Object]]:
    """The crashes of the operator's pods, once none of them is about to end."""
    deployment = kube.must("deployment", SYSTEM, "litclaw")
    found = crashes(kube)
    assert len(found) == deployment["spec"]["replicas"]
    return found
