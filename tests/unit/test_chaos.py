"""The fault campaign's own logic: names of calls, samples, end states, rest, the report."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.chaos import rest
from tests.chaos.calls import KUBE, LITELLM, Call, Name, kube_name, litellm_name
from tests.chaos.case_record import CaseRecord
from tests.chaos.cases import Case, Outcome, drawn
from tests.chaos.end_state import difference
from tests.chaos.faults import EVERY, KINDS, Fault
from tests.chaos.lifecycle import POLL_SECONDS
from tests.chaos.report import failures, into_page, keep, summary, text
from tests.chaos.stage import Snapshot, Stage
from tests.chaos.stories import STORIES

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
    sample = drawn(cases, 20, 7)
    assert sample == drawn(cases, 20, 7) != drawn(cases, 20, 8)
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
