"""Any value in any field of a resource: the API server refuses it with a message, or the resource gets a final status
with a reason, and no other resource is harmed.

The values are those of tests/values.py: some for each field here, and all of them with ``-m chaos``. Two managed and
eight external routes take them one after the other, so each mistake is also corrected.
"""

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.values import Case, cases, few

from .api import Object
from .database import let_in, own_database
from .direct import api_server, at_once
from .kube import Kube
from .operators import SYSTEM, crashes, failures, now
from .proxy import Proxy
from .resources import AI, MODELS, TEAM, agent, namespace, resource
from .waiting import LONG_SECONDS, PATIENCE_SECONDS, eventually

ODD = "odd"
API = "/apis/litclaw.dev/v1alpha1"
PLURALS = {
    "LiteLLMRoute": f"{API}/namespaces/{AI}/litellmroutes",
    "OpenClawAgent": f"{API}/namespaces/{ODD}/openclawagents",
    "LiteLLMKeyRotation": f"{API}/litellmkeyrotations",
}
SEED = 7
SOME, EVERY = 3, 1_000
AMOUNTS = [pytest.param(SOME, id="some"), pytest.param(EVERY, id="every", marks=pytest.mark.chaos)]
NOT_TAKEN = {"key.metadata.litclaw", "key.metadata.tags", "key.metadata.tags[]"}
"""Reserved fields: no value is accepted."""
QUIET_SECONDS = 20
MOST_WRITES = 5

ROUTE_REF = {"name": "main", "namespace": AI}
MASTER_KEY = {"name": "main-master-key", "key": "LITELLM_MASTER_KEY"}
EXTERNAL = {"external": {"url": f"http://main-litellm.{AI}.svc.cluster.local:4000", "masterKeySecretRef": MASTER_KEY}}


@dataclass
class Ends:
    """The results of the cases, and the messages."""

    counts: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    def is_refused(self, case: Case, answer: httpx.Response) -> bool:
        """Whether the API server refuses a case; checks that it names the field."""
        if answer.is_success:
            return False
        message = str(answer.json().get("message"))
        assert answer.status_code in (400, 422), f"{case}: {answer.status_code} {message}"
        last = case.field.rpartition(".")[2].removesuffix("[]").removesuffix("{}")
        assert last in message, f"{case}: {message}"
        self.counts["refused"] += 1
        return True

    def ended(self, case: Case, body: Object) -> None:
        """Check that the resulting status helps its reader."""
        conditions = {each["type"]: each for each in body["status"]["conditions"]}
        ready, stalled = conditions["Ready"], conditions["Stalled"]
        self.taken.add(case.field)
        self.counts[ready["reason"] if ready["status"] != "True" else "ready"] += 1
        assert ready["reason"] != "InternalError", f"{case}: {ready}"
        if ready["status"] != "True":
            self.said.append(f"{case}: {ready['reason']}: {ready['message'][:300]}")
            assert re.search(r"\w+ \w+ \w+.*[.:)\]]", ready["message"], re.DOTALL), f"{case}: {ready}"
            assert stalled["status"] == "True" or conditions["Reconciling"]["status"] == "True", f"{case}: {conditions}"


class Odd:
    """Puts odd resources into the cluster, and waits for their status."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def make(self, case: Case, name: str, *, dry: bool = False) -> httpx.Response:
        """Make a resource, with kubectl's strict validation. As JSON, because some of the values can't be YAML."""
        params = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry else {})}
        body = {**resource(case.kind, name, "", case.spec), "metadata": {"name": name}}
        return self._client.post(PLURALS[case.kind], params=params, json=body)

    def change(self, case: Case, name: str) -> httpx.Response:
        """Put a case's spec into an existing resource."""
        url = f"{PLURALS[case.kind]}/{name}"

        def put() -> httpx.Response | None:
            body = {**self._client.get(url).json(), "spec": case.spec}
            answer = self._client.put(url, params={"fieldValidation": "Strict"}, json=body)
            return None if answer.status_code == 409 else answer

        return eventually(put, what=f"{case} in {name}")

    def make_all(self, given: Sequence[tuple[Case, str]], ends: Ends, *, dry: bool = False) -> list[tuple[Case, str]]:
        """Make resources; returns those that the API server has accepted."""
        answers = at_once(lambda each: self.make(*each, dry=dry), given)
        return [each for each, answer in zip(given, answers, strict=True) if not ends.is_refused(each[0], answer)]

    def settled(self, made: Sequence[tuple[Case, str]]) -> dict[str, Object]:
        """The resources of one kind, once each has a final status for its current generation."""
        kind = made[0][0].kind

        def look() -> dict[str, Object]:
            items = self._client.get(PLURALS[kind]).json()["items"]
            found = {body["metadata"]["name"]: body for body in items}
            behind = [f"{name} with {case}" for case, name in made if not _has_ended(found[name])]
            assert not behind, f"{len(behind)} have no final status, such as {behind[:3]}"
            return found

        timeout = PATIENCE_SECONDS + len(made)
        return eventually(look, timeout=timeout, what=f"a final status of each of {len(made)} {kind}s")


def _has_ended(body: Object) -> bool:
    status = body.get("status") or {}
    if status.get("observedGeneration") != body["metadata"]["generation"] or not status.get("conditions"):
        return False
    return status.get("phase") not in ("Pending", "Running", "Retiring")


@dataclass(frozen=True)
class Figures:
    """The leader's counters since its start."""

    passes: float
    writes: float
    litellm: float

    def __sub__(self, other: "Figures") -> "Figures":
        return Figures(self.passes - other.passes, self.writes - other.writes, self.litellm - other.litellm)


def _figures(kube: Kube) -> Figures:
    leader = str(kube.must("lease", SYSTEM, "litclaw")["spec"]["holderIdentity"]).partition("_")[0]
    with kube.forward(SYSTEM, f"pod/{leader}", 8080) as url:
        text = httpx.get(f"{url}/metrics", trust_env=False, timeout=60).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def total(name: str, **labels: str) -> float:
        return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())

    writes = sum(
        each.value
        for each in samples
        if each.name == "litclaw_kubernetes_requests_total"
        and each.labels["verb"] in ("patch", "create", "update", "delete")
        and each.labels["kind"] not in ("Lease", "Event")  # of the election, and those that have a rate limit
        and each.labels["status"].startswith("2")
    )
    return Figures(total("litclaw_reconcile_total"), writes, total("litclaw_litellm_requests_total"))


def _in_quiet(kube: Kube) -> Figures:
    """What the leader does in a time in which nothing changes. A busy operator may first have to finish its work."""

    def quiet() -> Figures:
        before = _figures(kube)
        time.sleep(QUIET_SECONDS)
        found = _figures(kube) - before
        assert min(found.passes, found.litellm) >= 0, "another operator leads now"
        assert 0 <= found.writes <= MOST_WRITES, f"nothing has changed, but it writes: {found}"
        return found

    return eventually(quiet)


@pytest.fixture(scope="module")
def odd(kube: Kube, proxy: Proxy) -> Iterator[Odd]:
    """Access for odd resources; at the end, no operator may have crashed or failed over one."""
    kube.apply(namespace(ODD))
    before, started = crashes(kube), now()
    with api_server(kube) as client:
        yield Odd(client)
    assert crashes(kube) == before, "no operator has crashed"
    assert not (found := failures(kube, started)), found[:3]
    kube.delete("namespace", "", ODD)


@pytest.fixture
def steady(kube: Kube, proxy: Proxy) -> Iterator[None]:
    """A healthy agent that isn't harmed: its Secret stays, its key is accepted, and a change reaches the proxy."""
    kube.apply(agent("steady", key={"rpmLimit": 100}))
    uid = kube.wait_ready("openclawagent", TEAM, "steady")["metadata"]["uid"]
    before = kube.must("secret", TEAM, "steady-litellm")["metadata"]["resourceVersion"]
    yield
    assert kube.must("secret", TEAM, "steady-litellm")["metadata"]["resourceVersion"] == before
    assert proxy.chat(kube.secret(TEAM, "steady-litellm")["LITELLM_API_KEY"]).status_code == 200
    kube.apply(agent("steady", key={"rpmLimit": 200}))
    eventually(lambda: [row["rpm_limit"] for row in proxy.rows(uid)] == [200], what="a new limit")
    kube.delete("openclawagent", TEAM, "steady")


@pytest.fixture
def cleared(kube: Kube, odd: Odd, proxy: Proxy) -> Iterator[None]:
    """No odd resource and none of their keys is left at the end."""
    yield
    uids = {body["metadata"]["uid"] for body in kube.list("openclawagents") if body["metadata"]["namespace"] == ODD}
    kube.run("-n", ODD, "delete", "openclawagents", "--all", "--timeout=300s")
    kube.run("delete", "litellmkeyrotations", "--all")
    left = [row for row in proxy.rows() if row["metadata"]["litclaw"]["agent"] in uids]
    assert all(row["metadata"]["litclaw"].get("retained") for row in left), "an odd agent's key ends with it"
    if left:
        proxy.call("POST", "/key/delete", json={"keys": [row["token"] for row in left]})


def _agents(of_each: int) -> list[Case]:
    plain = {"routeRef": ROUTE_REF}
    resting = {**plain, "gateway": {}, "suspend": True}  # a gateway without pods
    alone = [case for case in cases("OpenClawAgent", plain) if not case.field.startswith("gateway")]
    gateways = [case for case in cases("OpenClawAgent", resting) if case.field.startswith("gateway")]
    return few([*alone, *gateways], of_each, SEED)


@pytest.mark.parametrize("of_each", AMOUNTS)
def test_an_agent_with_anything_in_a_field(
    kube: Kube, odd: Odd, cleared: None, steady: None, of_each: int, record_property: Any
) -> None:
    given = [(case, f"odd-{number}") for number, case in enumerate(_agents(of_each))]
    ends = Ends()
    made = odd.make_all(given, ends)
    found = odd.settled(made)
    for case, name in made:
        ends.ended(case, found[name])
    _say(record_property, ends)
    quiet = _in_quiet(kube)
    _say(record_property, ends, quiet)
    # An agent that waits for a proxy is reconciled every ten seconds at most; one pass makes a handful of calls.
    assert quiet.passes <= 3 * len(made) and quiet.litellm <= 6 * len(made), quiet
    assert {case.field for case, _ in given} - ends.taken <= NOT_TAKEN


@pytest.mark.parametrize("of_each", AMOUNTS)
def test_a_rotation_with_anything_in_a_field(
    kube: Kube, odd: Odd, cleared: None, steady: None, of_each: int, record_property: Any
) -> None:
    nobody = {"selector": {"matchLabels": {"odd": "nobody"}}, "namespaceSelector": {"matchLabels": {"odd": "nowhere"}}}
    given = [
        (case, f"odd-{number}") for number, case in enumerate(few(cases("LiteLLMKeyRotation", nobody), of_each, SEED))
    ]
    ends = Ends()
    made = odd.make_all(given, ends)
    found = odd.settled(made)
    for case, name in made:
        ends.ended(case, found[name])
    _say(record_property, ends)
    assert {case.field for case, _ in given} == ends.taken


def _each_in_turn(odd: Odd, given: Sequence[Case], names: Sequence[str], ends: Ends) -> None:
    """Put the cases into the named routes, one case a route at a time."""
    for start in range(0, len(given), len(names)):
        turn = list(zip(given[start : start + len(names)], names, strict=False))
        changed = [(case, name) for case, name in turn if not ends.is_refused(case, odd.change(case, name))]
        found = odd.settled(turn)
        for case, name in changed:
            ends.ended(case, found[name])


@pytest.fixture
def bases(kube: Kube, odd: Odd, of_each: int) -> Iterator[dict[str, Object]]:
    """The good specs of routes for odd values, by kind. The managed ones have a migrated database and no pods."""
    names = [f"odd-m{number}" for number in range(2)]
    kube.apply(own_database(kube, ODD), *[let_in(name) for name in names])
    reference = {"secretRef": {"name": f"{ODD}-db", "key": "URL"}}
    managed: Object = {"managed": {"replicas": 0, "database": reference}, "models": MODELS}
    kube.apply(*[resource("LiteLLMRoute", name, AI, managed) for name in names])
    kube.apply(*[resource("LiteLLMRoute", f"odd-e{number}", AI, EXTERNAL) for number in range(8)])
    for name in names:
        kube.wait_condition("litellmroute", AI, name, "DatabaseReady", "True", timeout=LONG_SECONDS)
    # From here on, no pod of theirs or of a migration may find a node.
    managed["managed"]["nodeSelector"] = {"nowhere": "yes"}
    yield {"managed": managed, "external": EXTERNAL}
    kube.run("-n", AI, "delete", "litellmroute", *names, *[f"odd-e{number}" for number in range(8)])
    kube.run("-n", AI, "delete", "networkpolicy", *[f"{name}-reaches-main-postgres" for name in names])
    kube.delete("secret", AI, f"{ODD}-db")


@pytest.mark.parametrize("of_each", AMOUNTS)
def test_a_route_with_anything_in_a_field(
    kube: Kube, odd: Odd, steady: None, bases: dict[str, Object], of_each: int, record_property: Any
) -> None:
    ends, fields = Ends(), set[str]()
    for sort, mark, count in (("external", "e", 8), ("managed", "m", 2)):
        names = [f"odd-{mark}{number}" for number in range(count)]
        every = [case for case in cases("LiteLLMRoute", bases[sort]) if _is_of(sort, case.field)]
        given = few(every, of_each, SEED)
        fields |= {case.field for case in given}
        admitted = odd.make_all([(case, ODD) for case in given], ends, dry=True)
        _each_in_turn(odd, [case for case, _ in admitted], names, ends)
        good = Case("LiteLLMRoute", bases[sort], ((("models",), "as it was", None),))
        _each_in_turn(odd, [good] * count, names, Ends())
    for number in range(8):
        kube.wait_ready("litellmroute", AI, f"odd-e{number}")
    _say(record_property, ends)
    quiet = _in_quiet(kube)
    _say(record_property, ends, quiet)
    # Ten routes are reconciled every ten or thirty seconds, each with half a dozen calls and some pages of keys.
    assert quiet.passes <= 60 and quiet.litellm <= 500, quiet
    assert not (left := fields - ends.taken), left


def _is_of(sort: str, path: str) -> bool:
    top = path.partition(".")[0].removesuffix("[]")
    if sort == "external":
        return top in ("external", "models", "allowedNamespaces", "keyDefaults") and not path.startswith("models[].")
    return top not in ("external", "allowedNamespaces", "keyDefaults")


def _say(record_property: Any, ends: Ends, quiet: Figures | None = None) -> None:
    said = "\n".join([*(ends.said if quiet is None else ()), f"{dict(ends.counts)} {quiet or ''}"])
    record_property("ends", said)
    print(said)
