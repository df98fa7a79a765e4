"""Alert rules and dashboard name metrics and labels that exist, and each alert says what to do."""

import re
from pathlib import Path

import pytest
from litclaw.kube.cache import Cache
from litclaw.metrics.collector import StateCollector, Work
from litclaw.metrics.recorder import Recorder
from litclaw.reconcile.context import Context
from litclaw.reconcile.core.queue import Request, WorkQueue
from prometheus_client.metrics_core import Metric

from dev.promql import alerts, expressions, family, panels, selectors

DOCS = Path(__file__).parents[2] / "docs"
RUNBOOKS = "https://github.com/litclaw/litclaw/blob/main/docs/runbooks.md"
FROM_PROMETHEUS = {"pod", "instance", "job"}


async def _nothing(_: Request) -> None:
    return None


@pytest.fixture(scope="module")
def families() -> dict[str, set[str]]:
    """Every metric of the operator, as a scrape names it, with its labels."""
    recorder = Recorder()
    queue: WorkQueue[Request] = WorkQueue(_nothing)
    context = Context(kube=None, cache=Cache(), cluster="", enqueue=queue.enqueue, enqueue_after=queue.enqueue_after)  # type: ignore[arg-type]
    recorder.registry.register(StateCollector(Cache(), lambda: Work(context, queue)))
    found = {}
    for each in recorder.registry.collect():
        name = f"{each.name}_total" if each.type == "counter" else each.name
        found[name] = _labels(recorder, each)
    return found


def _labels(recorder: Recorder, metric: Metric) -> set[str]:
    if names := getattr(metric, "_labelnames", None):
        return set(names)
    for each in vars(recorder).values():
        if getattr(each, "_name", None) == metric.name:
            return set(each._labelnames)
    return set()


@pytest.mark.parametrize("where", expressions())
def test_an_expression_is_promql_over_metrics_and_labels_that_exist(where: str, families: dict[str, set[str]]) -> None:
    found = selectors(expressions()[where])
    assert found
    for each in found:
        assert family(each.metric) in families, each.metric
        assert each.labels <= families[family(each.metric)], each


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_has_a_runbook(rule: dict[str, dict[str, str]]) -> None:
    name = str(rule["alert"])
    assert rule["annotations"]["runbook_url"] == f"{RUNBOOKS}#{name.lower()}"
    assert rule["annotations"]["summary"].endswith(".") and rule["labels"]["severity"] in (
        "critical",
        "warning",
        "info",
    )
    text = (DOCS / "runbooks.md").read_text()
    section = re.search(rf"^## {name}\n(.+?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section and len(section[1]) > 100


def test_each_runbook_has_an_alert() -> None:
    sections = re.findall(r"^## (\w+)$", (DOCS / "runbooks.md").read_text(), re.MULTILINE)
    assert sections == [rule["alert"] for rule in alerts()]


def test_the_page_has_every_metric(families: dict[str, set[str]]) -> None:
    told = set(re.findall(r"^\| `(litclaw_\w+)`", (DOCS / "monitoring.md").read_text(), re.MULTILINE))
    assert told == {name for name in families if name.startswith("litclaw_")}


def test_panels_don_t_overlap_and_each_has_a_name_of_its_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    assert len({panel["title"] for panel in panels()}) == len(panels())
