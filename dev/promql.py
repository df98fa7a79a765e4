"""What the alert rules and the dashboard ask Prometheus for."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser
import yaml

from .cluster import ROOT

RULES = ROOT / "deploy" / "components" / "monitoring" / "rules.yaml"
DASHBOARD = ROOT / "deploy" / "components" / "dashboards" / "litclaw.json"
_PARTS = ("expr", "lhs", "rhs", "param", "vector_selector")


@dataclass(frozen=True)
class Selector:
    """One metric that an expression names, with the labels that it must have."""

    metric: str
    labels: frozenset[str]


def alerts() -> list[dict[str, Any]]:
    """Every alert rule."""
    return [rule for group in yaml.safe_load(RULES.read_text())["spec"]["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Every panel of the dashboard that shows something."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """Every expression, by where it is."""
    found = {f"alert {rule['alert']}": rule["expr"] for rule in alerts()}
    for panel in panels():
        for target in panel["targets"]:
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"].replace("$__rate_interval", "5m")
    return found


def selectors(expression: str) -> set[Selector]:
    """The metrics that an expression names.

    Raises:
        ValueError: it is no PromQL.
    """
    return set(_selectors(promql_parser.parse(expression)))


def _selectors(node: Any) -> Iterator[Selector]:
    if isinstance(node, promql_parser.VectorSelector):
        yield Selector(node.name, frozenset(each.name for each in node.matchers.matchers))
        return
    for part in _PARTS:
        if (child := getattr(node, part, None)) is not None:
            yield from _selectors(child)
    for child in getattr(node, "args", ()):
        yield from _selectors(child)


def family(metric: str) -> str:
    """The name under which a metric's type is told: a histogram's without what its series end in."""
    for ending in ("_bucket", "_sum", "_count"):
        if metric.endswith(f"_seconds{ending}"):
            return metric.removesuffix(ending)
    return metric
