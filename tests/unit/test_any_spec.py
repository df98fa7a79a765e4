"""Whatever the schemas let through is rendered, or refused with a message of the project: nothing else happens.

One field after the other has every value of tests/values.py, and then several have odd ones at once: the same specs in
each run. tests/e2e/test_any_input.py puts them into a real cluster.
"""

import json
from collections import Counter
from typing import Any

import pytest
from litclaw.api.agent import OpenClawAgent
from litclaw.api.rotation import LiteLLMKeyRotation
from litclaw.api.route import LiteLLMRoute
from litclaw.cli.manifests import Manifests
from litclaw.cli.offline import Made, make_agent, make_route
from litclaw.cli.schema import Checker
from litclaw.kube.diff import covers
from litclaw.reconcile.core.status import invalid_spec
from pydantic import ValidationError

from tests.values import Case, cases, mixed

MODELS = [{"name": name, "litellmParams": {"model": f"openai/{name}"}} for name in ("gpt-4o", "claude-opus-4-6")]
MANAGED: dict[str, Any] = {"managed": {"database": {"embedded": {}}}, "models": MODELS}
EXTERNAL: dict[str, Any] = {"external": {"url": "http://x.invalid", "masterKeySecretRef": {"name": "m", "key": "K"}}}
AGENT: dict[str, Any] = {"routeRef": {"name": "main", "namespace": "ai"}}
BASES = (
    ("LiteLLMRoute", MANAGED),
    ("LiteLLMRoute", EXTERNAL),
    ("OpenClawAgent", AGENT),
    ("OpenClawAgent", {**AGENT, "gateway": {}}),
    ("LiteLLMKeyRotation", {}),
)
MIXES = 2_000
NOT_TAKEN = {"key.metadata.tags[]"}
"""Fields that may have no value at all."""


def _body(spec: dict[str, Any], namespace: str = "ai") -> dict[str, Any]:
    return {"metadata": {"name": "main", "namespace": namespace, "uid": "u"}, "spec": spec}


def _settles(made: Made) -> Made:
    """What the API server gives back of an object is what was asked for, and is valid JSON."""
    for manifest in made.objects:
        text = json.dumps(manifest, allow_nan=False)
        assert covers(json.loads(text), manifest)
        if config := manifest.get("data", {}).get("openclaw.json"):
            json.loads(config, parse_constant=pytest.fail)
    return made


def _made(case: Case) -> list[Made]:
    """What a resource becomes and, of a route, what an agent of it does.

    Raises:
        ValidationError: it can't be read.
    """
    if case.kind == "LiteLLMKeyRotation":
        LiteLLMKeyRotation.model_validate(_body(case.spec, ""))
        return []
    if case.kind == "OpenClawAgent":
        route = LiteLLMRoute.model_validate(_body({**MANAGED, "allowedNamespaces": {"from": "All"}}))
        return [make_agent(OpenClawAgent.model_validate(_body(case.spec)), Manifests({("ai", "main"): route}), None)]
    route = LiteLLMRoute.model_validate(_body(case.spec))
    agent = OpenClawAgent.model_validate(_body({**AGENT, "gateway": {}}))
    return [make_route(route, "litclaw-system"), make_agent(agent, Manifests({("ai", "main"): route}), None)]


def _end(case: Case) -> list[str]:
    """How it ends with a resource that the schema has let through."""
    try:
        ends = [_settles(made).problem.partition(":")[0] or "made" for made in _made(case)]
        return ends or ["read"]
    except ValidationError as error:
        message = invalid_spec(error).message
        assert "spec" in message and "Correct it" in message, f"{case}: {message}"
        return ["unreadable"]
    except Exception as error:
        error.add_note(f"{case} ({json.dumps(case.spec)[:2000]})")
        raise


@pytest.mark.parametrize(("kind", "base"), BASES, ids=("managed", "external", "agent", "gateway", "rotation"))
def test_what_a_schema_lets_through_is_rendered_or_said_to_be_wrong(kind: str, base: dict[str, Any]) -> None:
    checker, every = Checker(), cases(kind, base)
    taken = [case for case in every if not checker.mistakes(kind, {"spec": case.spec})]
    assert {case.field for case in every} - {case.field for case in taken} <= NOT_TAKEN, "each field takes something"
    assert len(every) - len(taken) > len(every) / 3, "absurd values are refused"
    mixes = [each for each in mixed(base, taken, MIXES, seed=7) if not checker.mistakes(kind, {"spec": each.spec})]
    ends = Counter(end for case in (*taken, *mixes) for end in _end(case))
    assert len(mixes) > MIXES / 2 and ends["made"] + ends["read"] > len(taken) / 3, ends
