"""The PromQL expressions of the alert rules and the dashboard."""

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
    """One metric in an expression, and the labels that the expression matches."""

    metric: str
    labels: frozenset[str]


def alerts() -> list[dict[str, Any]]:
    """Every alert rule."""
    return [rule for group in yaml.safe_load(RULES.read_text())["spec"]["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Every panel of the dashboard, without the rows that group them."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """Every expression, by alert or panel."""
    found = {f"alert {rule['alert']}": rule["expr"] for rule in alerts()}
    for panel in panels():
        for target in panel["targets"]:
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"].replace("$__rate_interval", "5m")
    return found


def selectors(expression: str) -> set[Selector]:
    """The metrics in an expression.

    Raises:
        ValueError: it isn't PromQL.
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
    """The metric family of a series: a histogram's name without the suffix of its series."""
    for ending in ("_bucket", "_sum", "_count"):
        if metric.endswith(f"_seconds{ending}"):
            return metric.removesuffix(ending)
    return metric
