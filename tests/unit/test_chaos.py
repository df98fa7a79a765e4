"""The fault campaign's own logic: names of calls, samples, end states, rest, the report."""

import base64
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from litclaw.api.digest import digest
from litclaw.kube.cache import fingerprint

from tests.chaos import rest
from tests.chaos.calls import KUBE, LITELLM, Call, Name, case_of_alias, is_numbered, kube_name, litellm_name
from tests.chaos.case_record import CaseRecord
from tests.chaos.cases import Case, Outcome, drawn
from tests.chaos.crossings import CROSSINGS
from tests.chaos.end_state import delivered, difference, seen
from tests.chaos.faults import EVERY, KINDS, STATUSES, Fault, kinds_at
from tests.chaos.lifecycle import POLL_SECONDS
from tests.chaos.played import is_played, played
from tests.chaos.report import failures, into_page, keep, summary, text
from tests.chaos.roll_outs import counts_in, is_replaced
from tests.chaos.stage import Snapshot, Stage
from tests.chaos.stories import STORIES
from tests.chaos.story import is_begun
from tests.chaos.tenants import Tenants
from tests.chaos.workers import END, LATE_SECONDS, Workers, models_of
from tests.chaos.world import World

DOCS = Path(__file__).parents[2] / "docs"
OURS = "/apis/litclaw.dev/v1alpha1/namespaces/chaos"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("PATCH", "/api/v1/namespaces/chaos/secrets/c017-litellm", Name("c017", "PATCH secrets", False)),
        ("PATCH", f"{OURS}/openclawagents/c017/status", Name("c017", "PATCH openclawagents/status", False)),
        ("PATCH", f"{OURS}/litellmroutes/c017-b", Name("c017", "PATCH litellmroutes", False)),
        ("GET", f"{OURS}/openclawagents", Name("", "GET openclawagents (list)", True)),
        ("PATCH", "/api/v1/namespaces/chaos/events/c1234.ab12", Name("c1234", "PATCH events", False)),
        ("PATCH", "/api/v1/namespaces/ai/secrets/main-master-key", Name("main", "PATCH secrets", False)),
        ("GET", "/version", Name("", "GET /version", True)),
        ("PATCH", "/api/v1/namespaces/chaos/secrets/c1000-litellm", Name("c1000", "PATCH secrets", False)),
    ],
)
def test_a_call_to_the_api_server_is_named_by_verb_and_kind(method: str, path: str, expected: Name) -> None:
    assert kube_name(method, path) == expected


def test_a_call_to_litellm_is_named_by_method_and_path() -> None:
    assert litellm_name("POST", "c017-b", "/key/update") == Name("c017", "POST /key/update", False)
    assert litellm_name("GET", "main-litellm.ai", "/key/list") == Name("main", "GET /key/list", True)


def test_a_case_is_repeated_by_its_name() -> None:
    case = Case(STORIES["limits"], Fault("litellm", "POST /key/update", 2, "drop-answer"))
    assert Case.parse(str(case)) == case
    for wrong in ("nothing:-", "limits:kube:PATCH secrets:1:explode", "limits:nowhere:PATCH secrets:1:409"):
        with pytest.raises(ValueError):
            Case.parse(wrong)


def test_a_sample_is_the_same_for_a_seed_and_has_some_of_each() -> None:
    cases = [Case(story, Fault("kube", "PATCH secrets", 1, kind)) for story in STORIES.values() for kind in KINDS]
    count = len(STORIES)
    sample = drawn(cases, count, 7)
    assert sample == drawn(cases, count, 7) != drawn(cases, count, 8)
    assert {case.story.name for case in sample} == set(STORIES)
    assert {case.fault.kind for case in sample if case.fault} == set(KINDS)


def test_a_difference_says_where() -> None:
    assert difference({"a": [{"b": 1}], "c": 2}, {"a": [{"b": 3}], "d": 4}) == [
        "a[0].b: 3 instead of 1",
        "c is missing",
        "d is too much: 4",
    ]
    assert difference({"a": [1]}, {"a": [1]}) == []


def test_a_fault_strikes_its_call_or_the_nth_of_every_name() -> None:
    write, read = Name("main", "PATCH secrets", False), Name("main", "GET secrets", True)
    one = Fault(KUBE, "PATCH secrets", 2, "drop-answer")
    assert [one.is_at(KUBE, write, number) for number in (1, 2, 3)] == [False, True, False]
    assert not one.is_at(LITELLM, write, 2) and not one.is_at(KUBE, read, 2)
    every = Fault(KUBE, EVERY, 2, "drop-answer")
    assert every.is_at(KUBE, write, 2) and every.is_at(LITELLM, write, 2) and not every.is_at(KUBE, write, 1)
    assert not every.is_at(KUBE, read, 2), "a call that only reads can't be half done"
    assert Fault(KUBE, EVERY, 1, "503").is_at(KUBE, read, 1)


def test_a_call_of_a_story_that_crosses_objects_meets_one_status_and_the_next_call_the_next() -> None:
    assert kinds_at(3, KINDS, crosses=False) == KINDS
    others = [kind for kind in KINDS if not kind.isdigit()]
    met = [set(kinds_at(place, KINDS, crosses=True)) for place in range(len(STATUSES))]
    assert all(kinds >= set(others) and len(kinds) == len(others) + 1 for kinds in met)
    assert set().union(*met) == set(KINDS)
    assert kinds_at(1, ("kill-before", "kill-after"), crosses=True) == ("kill-before", "kill-after")


# What is played in front of the real servers


@pytest.mark.parametrize(
    ("alias", "case"),
    [("chaos/c017", "c017"), ("chaos/c017-b@3.0123456789abcdef", "c017"), ("team-a/c017", ""), ("c017", ""), ("", "")],
)
def test_a_key_belongs_to_a_case_by_its_alias(alias: str, case: str) -> None:
    assert case_of_alias(alias, "chaos") == case


def test_objects_of_the_real_managed_route_belong_to_no_numbered_case() -> None:
    assert is_numbered("c017-litellm.chaos") and is_numbered("c1017")
    assert not any(map(is_numbered, ("main-litellm", "main-litellm.ai", "other", "")))


def _workload(name: str, replicas: int = 2) -> dict[str, Any]:
    meta = {"name": name, "generation": 3, "creationTimestamp": "2026-11-30T10:00:00Z"}
    return {"metadata": meta, "spec": {"replicas": replicas}, "status": {"replicas": replicas}}


def test_workloads_of_cases_run_and_those_of_others_are_as_they_are() -> None:
    def status(body: dict[str, Any], call: str = "GET deployments") -> Any:
        return json.loads(played(json.dumps(body).encode(), call))

    alone = status(_workload("c017-litellm"))["status"]
    assert (alone["observedGeneration"], alone["readyReplicas"], alone["updatedReplicas"]) == (3, 2, 2)
    assert "readyReplicas" not in status(_workload("c017-openclaw", 0))["status"], (
        "one that is scaled to zero has no pods"
    )
    assert status(_workload("main-litellm")) == _workload("main-litellm")
    listed = status({"items": [_workload("c017-litellm"), _workload("other-litellm")]}, "GET deployments (list)")
    assert [each["status"].get("readyReplicas") for each in listed["items"]] == [2, None]
    event = status({"type": "ADDED", "object": _workload("c017-migrate-0123")}, "GET jobs (list)")
    assert event["object"]["status"]["conditions"][0]["type"] == "Complete"
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "7"}}}
    assert status(bookmark) == bookmark and played(b"no JSON", "GET jobs") == b"no JSON"


def test_workloads_are_recognized_by_the_name_of_a_call() -> None:
    calls = ("PATCH deployments", "GET jobs (list)", "PATCH deployments/status", "GET secrets", "GET /version")
    assert [is_played(call) for call in calls] == [True, True, True, False, False]


def test_two_workers_show_the_same_models_in_another_order_and_another_deployment_last() -> None:
    entry = {"model_name": "gpt-4o", "model_info": {"max_input_tokens": 128_000}}
    one, other = (json.loads(models_of(worker, json.dumps({"data": [entry]}).encode()))["data"] for worker in (0, 1))
    assert one == other[::-1] and one[0] == entry and len({each["model_name"] for each in one}) > 1
    infos = [[each["model_info"] for each in found if each["model_name"] == "gpt-4o"][-1] for found in (one, other)]
    assert infos[0] != infos[1]


def test_a_read_by_pages_misses_no_key_for_ever_and_one_worker_knows_a_new_key_late() -> None:
    workers, rows = Workers(f"c017{END}"), [{"token": token} for token in "ba"]
    reads = []
    for _ in range(20):
        pages = [workers.lists(workers.next(), rows, page) for page in (1, 2)]
        assert all(page["total_pages"] == 2 for page in pages)
        reads.append({row["token"] for page in pages for row in page["keys"]})
    assert {frozenset(read) for read in reads} == {frozenset("ab"), frozenset("a"), frozenset("b")}
    workers.create("sk-new", 100.0)
    assert workers.knows(0, "sk-new", 100.0) and not workers.knows(1, "sk-new", 100.0)
    assert workers.knows(1, "sk-new", 100.0 + LATE_SECONDS) and workers.knows(1, "sk-old", 0.0)


class Answering:
    """In place of the real LiteLLMs: one page of keys; remembers who asked."""

    def __init__(self, *aliases: str) -> None:
        self.bearers: list[str] = []
        rows = [{"token": str(number), "key_alias": alias} for number, alias in enumerate(aliases)]
        self._content = json.dumps({"keys": rows, "total_pages": 1}).encode()

    def master_of(self, tenant: str) -> str:
        return "sk-real"

    async def read(self, tenant: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        self.bearers.append(headers["Authorization"].removeprefix("Bearer "))
        return 200, {}, self._content


async def _aliases(proxies: Answering, tenant: str, bearer: str = "sk-real", page: int = 1) -> list[str]:
    query = {"size": "100", "page": str(page), "return_full_object": "true"}
    text = "&".join(f"{name}={value}" for name, value in query.items())
    request = SimpleNamespace(
        method="GET", headers={"Authorization": f"Bearer {bearer}"}, query=query, query_string=text
    )
    tenants = Tenants(cast(Any, proxies), "chaos")
    status, _, content = await tenants.answer(tenant, cast(Any, request), "/key/list", b"", "sk-of-the-case")
    assert status == 200
    return [row["key_alias"] for row in json.loads(content)["keys"]]


async def test_each_route_s_litellm_has_the_keys_of_its_case_alone() -> None:
    proxies = Answering("chaos/c017", "chaos/c018", "team-a/c017", "chaos/c017-b@2.0123")
    assert await _aliases(proxies, "c017-x") == ["chaos/c017", "chaos/c017-b@2.0123"]
    assert len(await _aliases(proxies, "main-litellm.ai")) == 4
    assert set(await _aliases(proxies, f"c017{END}")) < {"chaos/c017", "chaos/c017-b@2.0123"}


async def test_a_managed_route_of_a_case_is_served_by_a_real_litellm_with_another_master_key() -> None:
    proxies = Answering("chaos/c017")
    assert await _aliases(proxies, "c017-litellm.chaos", "sk-of-the-case") == ["chaos/c017"]
    await _aliases(proxies, "c017-litellm.chaos", "sk-another")
    await _aliases(proxies, "main-litellm.ai", "sk-of-the-case")
    assert proxies.bearers == ["sk-real", "sk-another", "sk-of-the-case"]


def _write(agent: str, key: str, secret: str = "") -> tuple[Name, bytes]:
    name = secret or f"{agent}-litellm"
    data = {"LITELLM_API_KEY": base64.b64encode(key.encode()).decode()}
    manifest = {"metadata": {"name": name, "labels": {"app.kubernetes.io/instance": agent}}, "data": data}
    return kube_name("PATCH", f"/api/v1/namespaces/chaos/secrets/{name}"), json.dumps(manifest).encode()


def test_a_key_may_end_once_its_agent_has_another_in_whatever_secret() -> None:
    world = World(cast(Any, None), cast(Any, None), "chaos")

    def violations(*keys: str) -> int:
        tokens = [hashlib.sha256(key.encode()).hexdigest() for key in keys]
        world.check_ends(Name("c017", "", False), "/key/delete", json.dumps({"keys": tokens}).encode())
        return len(world.cases["c017"].wrong)

    world.record_written(*_write("c017", "sk-1"))
    world.record_written(*_write("c017-b", "sk-2"))
    assert violations("sk-2") == 1 and violations("sk-1") == 2
    world.record_written(*_write("c017", "sk-3", "c017-other"))
    assert violations("sk-1") == 2, "the first agent has another key, in another Secret"
    assert violations("sk-3", "sk-2") == 3
    world.cases["c017"].ending = True
    assert violations("sk-3") == 3


# Beginnings and ends


def _resource(ready: str = "True", generation: int = 1) -> dict[str, Any]:
    status = {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": ready}]}
    return {"metadata": {"generation": generation}, "status": status}


def test_a_beginning_has_what_people_have_made_and_nothing_that_they_have_deleted() -> None:
    route, agent = ("LiteLLMRoute", "c017"), ("OpenClawAgent", "c017")

    def begun(*applied: tuple[str, str], **agents: dict[str, Any]) -> bool:
        return is_begun(Snapshot({"LiteLLMRoute": {"c017": _resource()}, "OpenClawAgent": agents}), applied, "c017")

    assert begun(route, agent, ("OpenClawAgent", "c018"), c017=_resource())
    assert not begun(route, agent, c017=_resource("False")) and not begun(route, agent, c017=_resource(generation=2))
    assert not begun(route, agent), "it isn't there yet"
    assert not begun(route, c017=_resource()) and begun(route), "it isn't gone yet, and then it is"


def _secret(agent: str, **data: str) -> dict[str, Any]:
    values = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"kind": "Secret", "metadata": {"name": f"{agent}-litellm", "resourceVersion": "1"}, "data": values}


def test_an_end_state_says_which_secret_holds_a_key_and_shows_no_value() -> None:
    secrets = {
        "c017-litellm": _secret("c017", LITELLM_API_KEY="sk-1", LITELLM_BASE_URL="http://c017"),
        "c017-b-litellm": _secret("c017-b", LITELLM_API_KEY="sk-2"),
        "c017-master": _secret("c017", LITELLM_MASTER_KEY="sk-master"),
        "c018-litellm": _secret("c018", LITELLM_API_KEY="sk-3"),
    }
    mark = {"retained": "chaos/c017", "agent": "uid"}
    keys = [
        {"token": hashlib.sha256(key.encode()).hexdigest(), "key_alias": alias, "metadata": {"litclaw": mark}}
        for key, alias in (("sk-2", "chaos/c017-b"), ("sk-gone", "chaos/c017@1.0123456789abcdef"))
    ]
    empty = {"OpenClawAgent": {}, "LiteLLMRoute": {}, "ConfigMap": {}}
    snapshot = Snapshot({**empty, "Secret": secrets}, {"c017": keys})
    assert delivered(snapshot, "c017") == {"c017-litellm": "sk-1", "c017-b-litellm": "sk-2"}
    state = seen(snapshot, "c017")
    assert {(key["key_alias"], key["in the Secret"]) for key in state["keys"]} == {
        ("chaos/CASE-b", "CASE-b-litellm"),
        ("chaos/CASE@RETIRED", ""),
    }
    assert {key["mark"]["retained"] for key in state["keys"]} == {"chaos/CASE"}
    assert state["Secret CASE-litellm"]["data"] == {"LITELLM_API_KEY": "VALUE", "LITELLM_BASE_URL": "http://CASE"}
    assert "sk-" not in json.dumps(state) and "Secret CASE-master" not in state


def test_an_end_state_says_whether_a_pod_has_the_configuration_and_the_token_of_now() -> None:
    config = {"openclaw.json": "{}"}
    annotations = {
        "litclaw.dev/config": digest(config),
        "litclaw.dev/secrets": digest(fingerprint("a token")),
        "litclaw.dev/migrated": "0123",
    }
    deployment = {
        "kind": "Deployment",
        "metadata": {"labels": {"app.kubernetes.io/instance": "c017"}, "annotations": {"revision": "7"}},
        "spec": {"replicas": 1, "template": {"metadata": {"annotations": annotations}}},
        "status": {"readyReplicas": 1},
    }
    service = {"kind": "Service", "metadata": {}, "spec": {"clusterIP": "10.0.0.7", "type": "ClusterIP"}}

    def annotated(token: str) -> Any:
        kinds: dict[str, dict[str, Any]] = {
            "OpenClawAgent": {},
            "LiteLLMRoute": {},
            "Secret": {"c017-gateway": _secret("c017", OPENCLAW_GATEWAY_TOKEN=token)},
            "ConfigMap": {"c017-openclaw": {"kind": "ConfigMap", "metadata": {}, "data": config}},
            "Deployment": {"c017-openclaw": deployment},
            "Service": {"c017-openclaw": service},
            "Job": {"c017-migrate-0123": {}, "c018-migrate-0123": {}},
        }
        state = seen(Snapshot(kinds), "c017")
        assert state["jobs"] == 1 and state["Service CASE-openclaw"]["spec"] == {"type": "ClusterIP"}
        return [*state["Deployment CASE-openclaw"]["spec"]["template"]["metadata"]["annotations"].values()]

    assert annotated("a token") == ["CONFIG", "TOKEN", "ANOTHER"]
    assert annotated("a new token") == ["CONFIG", "ANOTHER", "ANOTHER"]


def test_every_story_that_crosses_objects_is_described() -> None:
    page = (DOCS / "design" / "faults.md").read_text()
    assert not [story.name for story in CROSSINGS if f"| `{story.name}` |" not in page]


# Roll-outs


def test_a_roll_out_has_ended_when_no_pod_from_before_is_left() -> None:
    def pods(*uids: str) -> list[dict[str, Any]]:
        return [{"metadata": {"uid": uid}} for uid in uids]

    counts = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
    deployment = {"spec": {"replicas": 1}, "status": counts}
    assert is_replaced(deployment, pods("a"), pods("b"))
    assert not is_replaced(deployment, pods("a"), pods("a", "b")), "it still answers"
    assert not is_replaced({**deployment, "status": {**counts, "readyReplicas": 0}}, pods("a"), pods("b"))


def test_the_caller_s_last_whole_line_counts() -> None:
    assert counts_in("")["calls"] == 0
    assert counts_in('{"calls": 5, "failed": 1}\n{"calls": 9, "fai') == {"calls": 5, "failed": 1}


class Clock:
    """In place of `asyncio`: time that passes by sleeping alone; ``meanwhile`` is called at each sleep."""

    def __init__(self, meanwhile: Callable[[float], None] = lambda now: None) -> None:
        self.now = 0.0
        self._meanwhile = meanwhile

    def get_running_loop(self) -> "Clock":
        return self

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._meanwhile(self.now)


class Scripted:
    """A stage with one case, an agent with its route, whose states follow a script; the last one stays.

    Args:
        frames: how often the key table was read by then, and more of the agent's status.
    """

    def __init__(self, *frames: tuple[int, dict[str, Any]]) -> None:
        self._frames = list(frames)
        self.world = SimpleNamespace(table_reads=Counter[str](), cases=defaultdict[str, CaseRecord](CaseRecord))

    async def snapshot(self) -> Snapshot:
        reads, status = self._frames.pop(0) if len(self._frames) > 1 else self._frames[0]
        self.world.table_reads["c001-x"] = reads
        meta = {"name": "c001", "generation": 1}
        agent = {"kind": "OpenClawAgent", "metadata": meta, "status": {"observedGeneration": 1, **status}}
        external = {"external": {"url": "http://127.0.0.1:1/c001-x"}}
        route = {"kind": "LiteLLMRoute", "metadata": meta, "spec": external, "status": {"observedGeneration": 1}}
        kinds: dict[str, dict[str, Any]] = {"OpenClawAgent": {"c001": agent}, "LiteLLMRoute": {"c001": route}}
        return Snapshot({**kinds, "Secret": {}, "ConfigMap": {}})


@pytest.mark.parametrize(
    "early",
    [
        pytest.param([(1, {})] * 40 + [(2, {})] * 40, id="until the key table is read a second time"),
        pytest.param([(1, {}), *[(9, {"observedGeneration": 0})] * 40], id="until the change is handled"),
    ],
)
async def test_a_state_is_not_final_however_long_it_stays(monkeypatch: pytest.MonkeyPatch, early: Any) -> None:
    monkeypatch.setattr(rest, "asyncio", Clock())
    final = {"budgetResetsAt": "2026-12-01T00:00:00Z"}
    stage = Scripted(*early, (10, final), (11, final), (12, final))
    states = await rest.stable(cast(Stage, stage), ["c001"])
    assert states["c001"]["OpenClawAgent CASE"]["status"]["budgetResetsAt"] == "TIME"


async def test_stories_that_never_come_to_rest_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "asyncio", Clock())
    with pytest.raises(AssertionError, match="don't come to rest"):
        await rest.stable(cast(Stage, Scripted((1, {}))), ["c001"])


@pytest.mark.parametrize(("seconds", "restless"), [(12, True), (3, True), (0, False)])
async def test_late_writes_are_waited_for_and_endless_ones_are_named(
    monkeypatch: pytest.MonkeyPatch, seconds: int, restless: bool
) -> None:
    stage = Scripted((1, {}))
    calls = stage.world.cases["c001"].calls

    def write(now: float) -> None:
        last = max((call.at for call in calls if not call.name.reads), default=0.0)
        if now - last >= seconds if seconds else now < 30:
            calls.append(Call(now, "one", KUBE, Name("c001", "PATCH secrets", False), ""))
        calls.append(Call(now, "one", KUBE, Name("c001", "GET secrets", True), ""))

    clock = Clock(write)
    monkeypatch.setattr(rest, "asyncio", clock)
    found = await rest.last_writes(cast(Stage, stage), ["c001"])
    assert (set(found.get("c001", ())) == {"kube PATCH secrets"}) == restless
    assert restless or clock.now >= 30 + rest.QUIET_SECONDS - POLL_SECONDS


GOOD = Outcome("limits:kube:PATCH secrets:1:409", "calls", "409", True, [], 2.0)
MISSED = Outcome("limits:kube:PATCH secrets:3:409", "calls", "409", False, [], 2.0)
BAD = Outcome("limits:kube:PATCH secrets:2:409", "calls", "409", True, ["a key is left"], 9.0, ["0.1 kube"])


def test_the_report_counts_and_says_how_to_repeat() -> None:
    about = summary([GOOD, MISSED, BAD], "every case", ["a traceback"])
    assert "| calls | 409 | 3 | 2 | 1 | 9 s |" in text({"calls": about}), "a fault that didn't strike isn't survived"
    assert "- calls: every case; 1 failed; in the operators' logs: 1 lines too many." in text({"calls": about})
    assert failures([GOOD]) == ""
    assert 'make chaos CASE="limits:kube:PATCH secrets:2:409"' in failures([GOOD, BAD])
    cut = Outcome("limits, watch cut", "watches", "watch cut", True, ["a key is left"])
    assert """make chaos ARGS='--group=watches --kind="watch cut"'""" in failures([cut])


def test_what_is_run_again_is_in_place_of_what_was(tmp_path: Path) -> None:
    keep("calls", [GOOD, BAD], "every case", [], tmp_path, add=False)
    fixed = Outcome(BAD.case, "calls", "409", True, [], 3.0)
    found = keep("calls", [fixed], "stories limits", [], tmp_path, add=True)
    assert "| calls | 409 | 2 | 2 | 2 | 3 s |" in text(found) and "every case, and stories limits" in text(found)
    assert "| calls | 409 | 1 | 1 | 1 | 3 s |" in text(keep("calls", [fixed], "every case", [], tmp_path, add=False))


def test_the_page_is_replaced_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "faults.md"
    page.write_text("before\n<!-- begin: written by make chaos -->\nold\n<!-- end -->\nafter\n")
    into_page({"calls": summary([GOOD], "every case", [])}, page)
    assert "before\n" in page.read_text() and "after\n" in page.read_text() and "old" not in page.read_text()
    assert "| calls | 409 | 1 | 1 | 1 | 2 s |" in page.read_text()


def test_the_page_has_the_table_of_the_kept_result() -> None:
    kept = json.loads((DOCS / "faults.json").read_text())
    assert text(kept) in (DOCS / "faults.md").read_text()
